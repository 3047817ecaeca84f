"""Waiting for what a test expects, within bounds: a test's own time-out is a signal, which a callback may swallow."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

_LOOK_S = 0.02
_LONGEST_S = 300


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until the condition holds."""
    async with asyncio.timeout(_LONGEST_S):
        while not await condition():
            await asyncio.sleep(_LOOK_S)


async def comes(condition: Callable[[], Awaitable[bool]], within_s: float) -> bool:
    """Wait for the condition for so long at most, and tell whether it came to hold."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + within_s
    while not await condition():
        if loop.time() > deadline_s:
            return False
        await asyncio.sleep(_LOOK_S)
    return True


async def appears(path: Path) -> None:
    """Wait until a file is there, such as one that says that a step is held."""
    await until(lambda: asyncio.to_thread(path.exists))
