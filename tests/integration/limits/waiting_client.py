"""A client in a process of its own, to be killed: calls Deploy many times and says when all of them wait."""

import asyncio
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[3]
sys.path[:0] = [str(_ROOT), str(_ROOT / "gen")]

from tests.integration.limits.caller import Caller, request  # noqa: E402 - the path comes first


async def main(address: str, deployment_id: str, count: int) -> None:
    async with Caller(address) as caller:
        await caller.wait(request(deployment_id), count)
        sys.stdout.write("waiting\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
