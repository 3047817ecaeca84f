"""A child process that cannot outlive us: in a session of its own, logged to a file, awaited, stopped."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Self

from service.errors import HydraError

Probe = Callable[[], Awaitable[bool]]

_LOOK_S = 0.01
_LINES_SHOWN = 20

# Runs in the child before the real program. A program of its own, and not code between fork and exec, because
# that may deadlock in a process with threads, and gRPC has some. Linux only: prctl(PR_SET_PDEATHSIG = 1,
# SIGKILL = 9), kept over exec (prctl(2)). The second look catches a parent that died before the call.
_FOLLOW_PARENT = """
import os, sys
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None).prctl(1, 9)
    if os.getppid() != int(sys.argv[1]):
        os._exit(1)
os.execvpe(sys.argv[2], sys.argv[2:], os.environ)
"""


class ProcessFailed(HydraError):
    """A child process did not start or ended by itself; the message holds the end of its log."""


class Process:
    """One running child. On Linux it dies with the thread that started it, however that ends."""

    def __init__(self, name: str, child: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.log = log
        self._child = child

    @classmethod
    def start(cls, name: str, argv: Sequence[str | Path], log: Path, environ: Mapping[str, str]) -> Self:
        """Start a program; its output is appended to `log`, its environment is `environ` and nothing else."""
        log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-ISc", _FOLLOW_PARENT, str(os.getpid()), *map(str, argv)]
        with log.open("ab") as output:
            child = subprocess.Popen(  # noqa: S603 - the program is chosen by the caller, no shell is involved
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environ),
                start_new_session=True,
            )
        return cls(name, child, log)

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._child.poll()

    async def wait_ready(self, probe: Probe, within: timedelta) -> None:
        """Ask the probe until it says yes. Raises ProcessFailed when the child ends first or time is up."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + within.total_seconds()
        while not await probe():
            if self.exit_code is not None:
                raise ProcessFailed(f"{self.name} ended with exit code {self.exit_code}.{self._log_end()}")
            if clock() >= deadline:
                raise ProcessFailed(f"{self.name} was not ready in time.{self._log_end()}")
            await asyncio.sleep(_LOOK_S)

    async def stop(self, grace: timedelta = timedelta(seconds=10)) -> int:
        """Ask the child to end, kill it when it does not in time, and return its exit code."""
        self._signal(signal.SIGTERM)
        try:
            return await self._ended(grace)
        except TimeoutError:
            return await self.kill()

    async def kill(self) -> int:
        """End the child at once, with all that it started, and return its exit code."""
        self._signal(signal.SIGKILL)
        return await self._ended(None)

    async def _ended(self, within: timedelta | None) -> int:
        async with asyncio.timeout(within.total_seconds() if within else None):
            while (code := self.exit_code) is None:  # noqa: ASYNC110 - asyncio's own child is bound to one loop
                await asyncio.sleep(_LOOK_S)
        return code

    def _signal(self, number: signal.Signals) -> None:
        if self.exit_code is None:  # not reaped yet, so the number still is the child's
            os.killpg(self.pid, number)

    def _log_end(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-_LINES_SHOWN:]
        shown = "\n".join(f"  {line}" for line in lines) or "  (nothing was written)"
        return f" The end of {self.log}:\n{shown}"
