"""Letting go of waiting callers when the server is about to stop."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from service.errors import Transient

T = TypeVar("T")


class Drain:
    """Once begun, everybody who waits for a workflow is sent away to ask again; the workflow goes on."""

    def __init__(self) -> None:
        self._begun = asyncio.Event()

    def begin(self) -> None:
        self._begun.set()

    async def unless_draining(self, wait: Coroutine[Any, Any, T]) -> T:
        """Await `wait`; raises Transient as soon as the drain has begun."""
        waiting = asyncio.ensure_future(wait)
        draining = asyncio.ensure_future(self._begun.wait())
        try:
            await asyncio.wait({waiting, draining}, return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                return waiting.result()
            raise Transient(
                "this server is stopping; the operation goes on: call again to wait for its end",
                reason="SERVER_DRAINING",
            )
        finally:
            waiting.cancel()
            draining.cancel()
