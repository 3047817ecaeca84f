"""Running a command until it ends or is interrupted: one signal cancels it, and what it began is put away in peace."""

import asyncio
import signal
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import typer

T = TypeVar("T")

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class _CutShort:
    """A signal came first."""

    number: int


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end and return the result; a signal ends the command with exit code 128 + its number."""
    result = asyncio.run(_supervised(work))
    if isinstance(result, _CutShort):
        raise typer.Exit(128 + result.number)
    return result


def run_until_signal(work: Coroutine[Any, Any, None]) -> None:
    """Run what has no end of its own: SIGINT, SIGTERM or SIGHUP ends it in order, with exit code 0."""
    asyncio.run(_supervised(work))


async def _supervised(work: Coroutine[Any, Any, T]) -> T | _CutShort:
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
        return await task
    except asyncio.CancelledError:
        if not received:
            raise
        return _CutShort(received[0])
