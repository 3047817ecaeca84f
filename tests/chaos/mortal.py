"""A worker that is killed every so often and started again, and what it held in each of its lives."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta

from service.dev.stack import LocalStack
from tests.chaos.holdings import Holdings

_SAMPLE_S = 0.5


@dataclass
class Lives:
    """All lives so far, each with what was held in it, oldest first; the last one goes on."""

    samples: list[list[Holdings]] = field(default_factory=lambda: [[]])
    kills: int = 0

    @property
    def peaks(self) -> list[Holdings]:
        """The sample of each life with the most memory."""
        return [max(life, key=lambda held: held.rss_mib) for life in self.samples if life]


@asynccontextmanager
async def mortal(stack: LocalStack, every: timedelta, most: int | None = None) -> AsyncIterator[Lives]:
    """Kill the worker with SIGKILL every so often, `most` times at most, while the block lasts. It lives at the end."""
    lives = Lives()
    over = asyncio.Event()
    watching = asyncio.create_task(_watch(stack, lives))
    killing = asyncio.create_task(_kill(stack, lives, over, every, most))
    try:
        yield lives
    finally:
        over.set()
        await asyncio.wait([killing])  # a start is not broken off
        watching.cancel()
        await asyncio.wait([watching])
    killing.result()


async def _kill(stack: LocalStack, lives: Lives, over: asyncio.Event, every: timedelta, most: int | None) -> None:
    while most is None or lives.kills < most:
        try:
            await asyncio.wait_for(over.wait(), every.total_seconds())
        except TimeoutError:
            await stack.worker.kill()
            lives.kills += 1
            lives.samples.append([])
            await stack.start_worker()
        else:
            return


async def _watch(stack: LocalStack, lives: Lives) -> None:
    while True:
        with suppress(OSError, KeyError):  # a process that has just died has no memory
            lives.samples[-1].append(Holdings.of(stack.worker.pid))
        await asyncio.sleep(_SAMPLE_S)
