"""Running a command until it ends or is interrupted: one signal cancels it, and what it began is put away in peace."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

import typer

T = TypeVar("T")

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end and return the result; a signal ends the command with exit code 128 + its number."""
    result, received = asyncio.run(_supervised(work))
    if received:
        raise typer.Exit(128 + received)
    assert result is not None
    return result[0]


def run_until_signal(work: Coroutine[Any, Any, None]) -> None:
    """Run what has no end of its own: SIGINT, SIGTERM or SIGHUP ends it in order, with exit code 0."""
    asyncio.run(_supervised(work))


async def _supervised(work: Coroutine[Any, Any, T]) -> tuple[tuple[T] | None, int]:
    """Run `work`; return its result, if it came to one, and the number of the signal that cut it short, or 0."""
    task = asyncio.ensure_future(work)
    received: list[int] = []

    def interrupt(number: int) -> None:
        if not received:  # more of them do not hurry it: they would only leave things behind
            received.append(number)
            task.cancel()

    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, interrupt, number)
    try:
        return (await task,), 0
    except asyncio.CancelledError:
        if not received:
            raise
        return None, received[0]
