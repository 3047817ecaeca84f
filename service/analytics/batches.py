"""Rows on their way to one table: taken in without waiting, sent in batches by a task, and bounded all the while."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog

from service import background
from service.analytics.client import refuses_user
from service.errors import HydraError, Internal, Transient

log = structlog.get_logger(__name__)

Row = tuple[Any, ...]
Insert = Callable[[list[Row]], Awaitable[None]]

_MIB = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """How much is kept, when it is sent, and how often it is tried (03 · 4.5, whose queue knows no bytes).

    Rows that are being sent count as kept. Of a row, the cells of type `bytes` are counted.
    """

    queue_rows: int = 200_000
    queue_bytes: int = 32 * _MIB
    batch_rows: int = 50_000
    batch_bytes: int = 8 * _MIB
    interval: timedelta = timedelta(seconds=2)
    pauses: tuple[timedelta, ...] = tuple(timedelta(seconds=seconds) for seconds in (1, 2, 4, 8))


class Batches:
    """The queue of one table and the task that empties it; make it, and use it, on the event loop.

    `insert` raises Transient where another attempt may succeed. `lost_rows` counts what no table will ever have.
    """

    def __init__(self, table: str, insert: Insert, limits: Limits) -> None:
        self.lost_rows = 0
        self._table = table
        self._insert = insert
        self._limits = limits
        self._queue: deque[Row] = deque()
        self._kept_rows = 0
        self._kept_bytes = 0
        self._refused_rows = 0
        self._due = asyncio.Event()
        self._closing = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        # A context of its own: else its log lines would name whichever deployment the first caller was about.
        self._task = background.until_done(f"batches of {table}", self._run, context=Context())

    def add(self, rows: Iterable[Row]) -> None:
        """Take rows in; those that find the queue full are dropped and counted."""
        for row in rows:
            size = _size(row)
            if self._fits(size):
                self._queue.append(row)
                self._kept_rows += 1
                self._kept_bytes += size
            else:
                self._refused_rows += 1
                self.lost_rows += 1
        if self._kept_rows >= self._limits.batch_rows or self._kept_bytes >= self._limits.batch_bytes:
            self._due.set()
        elif self._queue and self._timer is None:
            delay_s = self._limits.interval.total_seconds()
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._due.set)

    def flush_soon(self) -> None:
        """Send what there is without waiting for the interval's end."""
        self._due.set()

    async def close(self, within: timedelta) -> None:
        """Send what is left for no longer than that; what is still left then is lost, and what is added later."""
        self._closing.set()
        self._due.set()
        try:
            await asyncio.wait([self._task], timeout=within.total_seconds())
        finally:
            self._task.cancel()
        await asyncio.wait([self._task])
        self._report_refused()
        self._lose(self._kept_rows, "the service stopped before ClickHouse took them")
        self._release(self._kept_rows, self._kept_bytes)
        self._queue.clear()

    def _fits(self, size: int) -> bool:
        return (
            not self._closing.is_set()
            and self._kept_rows < self._limits.queue_rows
            and self._kept_bytes + size <= self._limits.queue_bytes
        )

    async def _run(self) -> None:
        while self._queue or not self._closing.is_set():
            await self._due.wait()
            self._due.clear()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            # What comes in meanwhile has its own interval: else a busy build would be sent row by row.
            waiting = len(self._queue)
            while waiting > 0:
                batch = self._next_batch()
                waiting -= len(batch)
                await self._send(batch)

    def _next_batch(self) -> list[Row]:
        batch = [self._queue.popleft()]
        size = _size(batch[0])
        while self._queue and len(batch) < self._limits.batch_rows:
            size += _size(self._queue[0])
            if size > self._limits.batch_bytes:
                break
            batch.append(self._queue.popleft())
        return batch

    async def _send(self, batch: list[Row]) -> None:
        pauses = iter(self._limits.pauses)
        while (error := await self._attempt(batch)) is not None:
            pause = next(pauses, None)
            if pause is None or not isinstance(error, Transient) or refuses_user(error):
                self._lose(len(batch), error.message)
                break
            await self._rest(pause)
        self._release(len(batch), sum(map(_size, batch)))
        self._report_refused()

    async def _attempt(self, batch: list[Row]) -> HydraError | None:
        try:
            await self._insert(batch)
        except HydraError as error:
            return error
        except Exception as error:  # noqa: BLE001 - nothing may end the task: no later row would ever be sent
            return Internal(type(error).__name__)
        return None

    async def _rest(self, pause: timedelta) -> None:
        """Wait before the next attempt; the beginning of the end cuts it short, once."""
        if self._closing.is_set():
            await asyncio.sleep(pause.total_seconds())
        else:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), pause.total_seconds())

    def _report_refused(self) -> None:
        refused, self._refused_rows = self._refused_rows, 0
        self._report(refused, "the queue was full")

    def _lose(self, rows: int, why: str) -> None:
        self.lost_rows += rows
        self._report(rows, why)

    def _report(self, rows: int, why: str) -> None:
        if rows:
            log.warning("rows for ClickHouse are lost", table=self._table, rows=rows, why=why)

    def _release(self, rows: int, size: int) -> None:
        self._kept_rows -= rows
        self._kept_bytes -= size


def _size(row: Row) -> int:
    return sum(len(cell) for cell in row if isinstance(cell, bytes))
