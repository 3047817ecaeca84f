"""The control groups that containers leave behind when they are killed."""

import asyncio
import errno
import os
from datetime import timedelta
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_WITHIN = timedelta(seconds=10)
_LOOK_S = 0.01


async def remove_cgroups(name: str) -> None:
    """Remove a top-level group with all below it, nothing where there is none. Raises TimeoutError while one is used.

    For a moment the kernel still counts processes that have ended.
    """
    async with asyncio.timeout(_WITHIN.total_seconds()):
        for group in _groups(name):
            while not _removed(group):  # noqa: ASYNC110 - nothing tells us
                await asyncio.sleep(_LOOK_S)


def _groups(name: str) -> list[Path]:
    """List the group and those below it, the innermost first, in the one tree or in that of every controller."""
    trees = (_ROOT / name, *_ROOT.glob(f"*/{name}"))
    return [Path(group) for tree in trees for group, _, _ in os.walk(tree, topdown=False)]


def _removed(group: Path) -> bool:
    try:
        group.rmdir()
    except OSError as error:
        if error.errno == errno.EBUSY:
            return False
        raise
    return True
