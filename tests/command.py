"""The command line as a person runs it: as a process of its own."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)


class Running:
    """A command that runs."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self._out = ""
        self._err = ""

    async def wrote(self, text: str) -> str:
        """Wait until it has written a text to standard output; returns all it has written so far."""
        assert self.process.stdout is not None
        self._out = await self._until(text, self._out, self.process.stdout)
        return self._out

    async def told(self, text: str) -> str:
        """Wait as `wrote`, for what it writes to standard error."""
        assert self.process.stderr is not None
        self._err = await self._until(text, self._err, self.process.stderr)
        return self._err

    async def _until(self, text: str, read: str, stream: asyncio.StreamReader) -> str:
        while text not in read:
            line = await stream.readline()
            read += line.decode()
            if not line:
                raise AssertionError(f"it ended without writing {text!r}: {read!r}, {await self.ended()}")
        return read

    def interrupt(self, number: signal.Signals = signal.SIGINT) -> None:
        self.process.send_signal(number)

    async def ended(self) -> Ended:
        """Wait for its end."""
        out, err = await self.process.communicate()
        assert self.process.returncode is not None
        return Ended(self.process.returncode, self._out + out.decode(), self._err + err.decode())


@asynccontextmanager
async def hydra_running(*arguments: str | Path, environ: Mapping[str, str] | None = None) -> AsyncIterator[Running]:
    """Run `hydra-deploy` while the block lasts."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service", *map(str, arguments)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        env={**os.environ, **(environ or {})},
        cwd=_ROOT,
    )
    running = Running(process)
    try:
        yield running
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def hydra(*arguments: str | Path, environ: Mapping[str, str] | None = None) -> Ended:
    """Run `hydra-deploy` to its end."""
    async with hydra_running(*arguments, environ=environ) as running:
        return await running.ended()


@dataclass(frozen=True)
class Left:
    """What is left of a command that was to leave nothing: files in its folder, processes that know the folder."""

    files: tuple[str, ...] = ()
    processes: tuple[tuple[str, ...], ...] = ()


def left(folder: Path) -> Left:
    """Look for leftovers. Linux only."""
    files = tuple(sorted(path.name for path in folder.iterdir()))
    return Left(files, tuple(sorted(processes_of(folder).values())))


def processes_of(folder: Path) -> dict[int, tuple[str, ...]]:
    """Find the processes that a folder's path was given to: process id → arguments. Linux only."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                arguments, environ = (entry / "cmdline").read_bytes(), (entry / "environ").read_bytes()
            except OSError:
                continue  # it has ended, or is not ours
            if str(folder).encode() in arguments + environ:
                found[int(entry.name)] = tuple(arguments.decode(errors="replace").rstrip("\0").split("\0"))
    return found
