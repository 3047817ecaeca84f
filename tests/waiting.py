"""Waiting for what a test expects; the test's own time-out bounds the wait."""

import asyncio
from collections.abc import Awaitable, Callable

_LOOK_S = 0.02


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until the condition holds."""
    while True:
        if await condition():
            return
        await asyncio.sleep(_LOOK_S)
