"""The two that are killed: the worker, forked anew within a fraction of a second, and the Restate server."""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Self

import aiohttp

from service.dev.stack import LocalStack
from tests.waiting import until

_PROGRAM = Path(__file__).parent / "program.py"
_READY = 200
_ALIVE, _KILLED = "alive", str(-signal.SIGKILL)


class Worker:
    """The service of a stack, which was started without one. Its process goes by `pid`."""

    def __init__(self, stack: LocalStack) -> None:
        self._stack = stack
        self._program: asyncio.subprocess.Process
        self._turn = asyncio.Lock()
        self.pid = 0

    async def __aenter__(self) -> Self:
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self._program = await asyncio.create_subprocess_exec(
            sys.executable,
            str(_PROGRAM),
            str(self._stack.config_file),
            str(self._stack.worker_log),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**inherited, **self._stack.options.environ},
        )
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.pid:
            await self.kill()
        assert self._program.stdin is not None
        self._program.stdin.close()
        await self._program.wait()

    async def start(self) -> None:
        """Start it and wait until it is registered and ready, or has died: its first step may be one that kills it."""
        self.pid = int(await self._tell("start"))

        async def is_ready_or_dead() -> bool:
            return await self._is_dead() or await self.is_ready()

        await until(is_ready_or_dead)

    async def died(self) -> None:
        """Wait for its end, which has to be by SIGKILL."""
        await until(self._is_dead)
        self.pid = 0

    async def kill(self) -> None:
        if not await self._is_dead():  # else its pid may be another's by now
            os.kill(self.pid, signal.SIGKILL)
        await self.died()

    async def restart(self) -> None:
        """Kill it, if it lives, and start it."""
        if self.pid:
            await self.kill()
        await self.start()

    async def is_ready(self) -> bool:
        """Tell whether it answers, and says so."""
        with suppress(aiohttp.ClientError, TimeoutError):
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1)) as session,
                session.get(f"{self._stack.health_url}/ready") as answer,
            ):
                return answer.status == _READY
        return False

    async def _is_dead(self) -> bool:
        seen = await self._tell("look")
        assert seen in (_ALIVE, _KILLED), f"the worker ended by itself, with {seen}"
        return seen == _KILLED

    async def _tell(self, command: str) -> str:
        # To its end, whoever is cancelled: the next one would read this one's answer.
        return await asyncio.shield(self._told(command))

    async def _told(self, command: str) -> str:
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        async with self._turn:
            self._program.stdin.write(f"{command}\n".encode())
            return (await self._program.stdout.readline()).decode().strip()
