import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from service.analytics.batches import Batches, Limits, Row
from service.errors import Transient
from tests.waiting import until

NEVER = timedelta(hours=1)
AT_ONCE = timedelta()
LIMITS = Limits(queue_rows=10, queue_bytes=1000, batch_rows=3, batch_bytes=100, interval=NEVER, pauses=(AT_ONCE,) * 4)
AWAY = Transient("ClickHouse is away")


@dataclass
class Table:
    """A table: `inserts` are the batches it took. It raises what is in `errors` first, and waits while it is shut."""

    errors: list[Exception] = field(default_factory=list)
    attempts: int = 0
    inserts: list[list[Row]] = field(default_factory=list)
    contexts: list[dict[str, Any]] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.open.set()

    async def insert(self, rows: list[Row]) -> None:
        self.attempts += 1
        self.contexts.append(structlog.contextvars.get_contextvars())
        await self.open.wait()
        if self.errors:
            raise self.errors.pop(0)
        self.inserts.append(rows)

    async def attempted(self, times: int) -> None:
        await until(holds(lambda: self.attempts == times))

    async def took(self, *batches: Iterable[Row]) -> None:
        await until(holds(lambda: self.inserts == [list(batch) for batch in batches]))


def holds(condition: Callable[[], bool]) -> Callable[[], Any]:
    async def asked() -> bool:
        return condition()

    return asked


@asynccontextmanager
async def batches(table: Table, limits: Limits = LIMITS) -> AsyncIterator[Batches]:
    made = Batches("default.rows", table.insert, limits)
    try:
        yield made
    finally:
        await made.close(timedelta())


def rows(*numbers: int, size: int = 1) -> list[Row]:
    return [(number, b"x" * size) for number in numbers]


def told(logs: Iterable[Any]) -> list[tuple[str, int, str]]:
    return [(log["table"], log["rows"], log["why"]) for log in logs if log["log_level"] == "warning"]


async def test_rows_are_sent_when_the_interval_is_over() -> None:
    async with batches(table := Table(), replace(LIMITS, interval=timedelta(milliseconds=5))) as queue:
        queue.add(rows(1))
        await table.took(rows(1))
        queue.add(rows(2))
        await table.took(rows(1), rows(2))


async def test_a_batch_that_is_full_is_sent_at_once() -> None:
    async with batches(table := Table()) as queue:
        queue.add(rows(1, 2))
        queue.add(rows(3))
        await table.took(rows(1, 2, 3))


async def test_bytes_fill_a_batch_too() -> None:
    async with batches(table := Table()) as queue:
        queue.add(rows(1, 2, size=60))
        await table.took(rows(1, size=60), rows(2, size=60))


async def test_a_row_that_is_larger_than_a_batch_is_one() -> None:
    async with batches(table := Table()) as queue:
        queue.add(rows(1, size=500))
        await table.took(rows(1, size=500))


async def test_what_waits_is_sent_soon_in_batches_where_that_is_asked() -> None:
    async with batches(table := Table(), replace(LIMITS, batch_rows=2)) as queue:
        table.open.clear()
        queue.add(rows(1, 2))
        await table.attempted(1)
        queue.add(rows(3))
        queue.flush_soon()
        table.open.set()
        await table.took(rows(1, 2), rows(3))


async def test_nothing_is_sent_where_there_is_nothing() -> None:
    table = Table()
    queue = Batches("default.rows", table.insert, LIMITS)
    queue.add([])
    queue.flush_soon()
    await queue.close(NEVER)
    assert (table.attempts, queue.lost_rows) == (0, 0)


@pytest.mark.parametrize("limits", [replace(LIMITS, queue_rows=4), replace(LIMITS, queue_bytes=4)])
async def test_a_full_queue_drops_the_newest_and_counts_what_is_being_sent(limits: Limits) -> None:
    with capture_logs() as logs:
        async with batches(table := Table(), limits) as queue:
            table.open.clear()
            queue.add(rows(1, 2, 3))
            await table.attempted(1)
            queue.add(rows(4, 5))
            queue.add(rows(6))
            assert queue.lost_rows == 2
            table.open.set()
            await table.took(rows(1, 2, 3), rows(4))
            queue.add(rows(7, 8, 9))
            await table.took(rows(1, 2, 3), rows(4), rows(7, 8, 9))
    assert queue.lost_rows == 2
    assert told(logs) == [("default.rows", 2, "the queue was full")]


async def test_a_row_too_large_for_the_queue_is_dropped_alone() -> None:
    async with batches(table := Table()) as queue:
        queue.add([*rows(1), *rows(2, size=1001), *rows(3)])
        queue.flush_soon()
        await table.took(rows(1, 3))
        assert queue.lost_rows == 1


async def test_a_batch_is_tried_five_times() -> None:
    async with batches(table := Table([AWAY] * 4)) as queue:
        queue.add(rows(1, 2, 3))
        await table.took(rows(1, 2, 3))
    assert (table.attempts, queue.lost_rows) == (5, 0)


async def test_then_it_is_lost_counted_and_said_once_and_the_next_one_is_tried() -> None:
    with capture_logs() as logs:
        async with batches(table := Table([AWAY] * 5)) as queue:
            queue.add(rows(1, 2, 3))
            await table.attempted(5)
            queue.add(rows(4, 5, 6))
            await table.took(rows(4, 5, 6))
    assert (table.attempts, queue.lost_rows) == (6, 3)
    assert told(logs) == [("default.rows", 3, "ClickHouse is away")]


@pytest.mark.parametrize("code", ["192", "193", "194", "195", "497", "516"])
async def test_who_is_refused_does_not_ask_again(code: str) -> None:
    async with batches(table := Table([Transient("no", code=code)])) as queue:
        queue.add(rows(1, 2, 3))
        queue.add(rows(4, 5, 6))
        await table.took(rows(4, 5, 6))
    assert (table.attempts, queue.lost_rows) == (2, 3)


async def test_a_fault_of_ours_costs_its_batch_only_and_its_text_is_not_told() -> None:
    with capture_logs() as logs:
        async with batches(table := Table([ValueError("secret")])) as queue:
            queue.add(rows(1, 2, 3))
            queue.add(rows(4, 5, 6))
            await table.took(rows(4, 5, 6))
    assert queue.lost_rows == 3
    assert told(logs) == [("default.rows", 3, "ValueError")]


async def test_the_pauses_between_attempts_are_the_reference_s() -> None:
    assert [pause.total_seconds() for pause in Limits().pauses] == [1, 2, 4, 8]


async def test_at_the_end_all_is_sent() -> None:
    table = Table()
    queue = Batches("default.rows", table.insert, LIMITS)
    queue.add(rows(*range(7)))
    await queue.close(NEVER)
    assert table.inserts == [rows(0, 1, 2), rows(3, 4, 5), rows(6)]
    assert queue.lost_rows == 0


async def test_the_end_does_not_wait_for_the_next_attempt() -> None:
    table = Table([AWAY])
    queue = Batches("default.rows", table.insert, replace(LIMITS, pauses=(NEVER,)))
    queue.add(rows(1, 2, 3))
    await table.attempted(1)
    await queue.close(NEVER)
    assert (table.inserts, queue.lost_rows) == ([rows(1, 2, 3)], 0)


async def test_the_end_is_bounded_and_what_is_left_then_is_lost() -> None:
    table = Table()
    table.open.clear()
    with capture_logs() as logs:
        queue = Batches("default.rows", table.insert, LIMITS)
        queue.add(rows(*range(12)))
        await table.attempted(1)
        await queue.close(timedelta(milliseconds=10))
        await queue.close(NEVER)
    assert (table.inserts, queue.lost_rows) == ([], 12)
    assert told(logs) == [
        ("default.rows", 2, "the queue was full"),
        ("default.rows", 10, "the service stopped before ClickHouse took them"),
    ]


async def test_what_comes_after_the_end_is_lost() -> None:
    table = Table()
    queue = Batches("default.rows", table.insert, LIMITS)
    await queue.close(NEVER)
    queue.add(rows(1))
    assert (table.attempts, queue.lost_rows) == (0, 1)


async def test_the_task_knows_nothing_of_who_calls() -> None:
    with structlog.contextvars.bound_contextvars(deployment="d_1"):
        async with batches(table := Table()) as queue:
            queue.add(rows(1, 2, 3))
            await table.took(rows(1, 2, 3))
    assert table.contexts == [{}]
