"""A child process whose own children and mounts end with it, whatever they do: the first of namespaces of its own."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Self

from service.dev.process import Process
from service.dev.programs import find_program

_LOOK_S = 0.01


class EnclosedProcess(Process):
    """One running child, and a small parent of it that holds the namespaces. Linux only, and needs root.

    The kernel ends all processes of a namespace when its first one ends, and mounts in it are seen by nobody outside.
    """

    @classmethod
    def start(cls, name: str, argv: Sequence[str | Path], log: Path, environ: Mapping[str, str]) -> Self:
        """Start a program. Raises ProgramMissing."""
        unshare = find_program("unshare", "util-linux")
        enclosed = [unshare, "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", *argv]
        return super().start(name, enclosed, log, environ)

    async def stop(self, grace: timedelta = timedelta(seconds=10)) -> int:
        inside = self._inside()
        code = await super().stop(grace)
        await _gone(inside)
        return code

    async def kill(self) -> int:
        inside = self._inside()
        code = await super().kill()
        await _gone(inside)
        return code

    def _inside(self) -> list[int]:
        """Return the child of the parent, whose number is ours to see; empty where it has not begun or has ended."""
        with suppress(OSError):
            return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]
        return []


async def _gone(pids: list[int]) -> None:
    """Wait for those that were killed along with their parent: they are the last to end of all in their namespace."""
    for pid in pids:
        while _runs(pid):  # noqa: ASYNC110 - it is no child of ours, so nothing tells us
            await asyncio.sleep(_LOOK_S)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"  # ended, and nobody has asked how
