"""Staying with a call to the gRPC server until it answers, and saying how things stand when that takes a while."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from time import monotonic
from typing import Any, TypeVar

from rich.console import Console

from service.cli import terminal
from service.errors import Transient

T = TypeVar("T")

Look = Callable[[], Awaitable[str]]

_LOOK_SECONDS = 0.1
_QUIET_SECONDS = 2.0


async def attend(console: Console, call: Coroutine[Any, Any, T], look: Look) -> T:
    """Return what the call returns. A terminal shows every look; anything else gets a line for one that differs."""
    task = asyncio.create_task(call)
    began_s, said = monotonic(), ""
    try:
        with console.status("asked the service") as status:
            while not (await asyncio.wait({task}, timeout=_LOOK_SECONDS))[0]:
                with suppress(Transient):  # the call tells how it ends; a look that failed is made again
                    seen = await look()
                    status.update(seen)
                    waited_s = monotonic() - began_s
                    if not console.is_terminal and waited_s > _QUIET_SECONDS and seen != said:
                        said = seen
                        console.print(f"  {terminal.RUNNING} {seen}, after {terminal.duration(waited_s * 1000)}")
        return task.result()
    finally:
        task.cancel()
