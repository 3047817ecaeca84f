"""The service, with a fault at a chosen point: run in place of `hydra-deploy serve`.

A fault is a file in the folder that FAULTS names, called `<step>.<before|after>.<kill|hold>`. `kill` ends the process
with SIGKILL, once (the file is removed first); `hold` waits for as long as the file is there. `after` is
between the commit of a step's work and its journal entry.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

import uvloop

from service import log
from service.app.serve import Role, serve
from service.config import load

FOLDER = "HYDRA_TEST_FAULTS"


class FaultHook:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def before(self, step: str) -> None:
        await self._meet(f"{step}.before")

    async def after(self, step: str) -> None:
        await self._meet(f"{step}.after")

    async def _meet(self, point: str) -> None:
        deadly = self._folder / f"{point}.kill"
        if deadly.exists():
            deadly.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        holding = self._folder / f"{point}.hold"
        if holding.exists():
            (self._folder / f"{point}.held").touch()
            while holding.exists():
                await asyncio.sleep(0.01)


def main() -> None:
    settings = load(Path(sys.argv[sys.argv.index("--config") + 1]))
    log.configure(settings.log.level, settings.log.format)
    uvloop.run(serve(settings, Role.ALL, FaultHook(Path(os.environ[FOLDER]))))


if __name__ == "__main__":
    main()
