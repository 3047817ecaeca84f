"""What `Database` promises on both databases: all or nothing, one after the other, nothing left behind."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database.dsn import Dsn
from service.database.engine import Database
from service.errors import NotFound, Transient

SOON = timedelta(seconds=4)  # before a lock that was left behind is given up
metadata = MetaData()
counters = Table(
    "counters",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("value", Integer, nullable=False),
)


@pytest.fixture
async def counting(database: Database) -> Database:
    """Make two counters, 1 and 2, at zero."""

    async def work(conn: AsyncConnection) -> None:
        await conn.run_sync(metadata.create_all)
        await conn.execute(counters.insert(), [{"id": 1, "value": 0}, {"id": 2, "value": 0}])

    await database.transact(work)
    return database


async def value(database: Database, counter: int = 1) -> int:
    found = await database.read(lambda conn: conn.scalar(select(counters.c.value).where(counters.c.id == counter)))
    assert found is not None
    return int(found)


async def increment(conn: AsyncConnection, counter: int = 1) -> int:
    """Read, wait a little and write: wrong unless the row is locked in between."""
    found = await conn.scalar(select(counters.c.value).where(counters.c.id == counter).with_for_update())
    assert found is not None
    await asyncio.sleep(0.002)
    await conn.execute(update(counters).where(counters.c.id == counter).values(value=found + 1))
    return int(found) + 1


@asynccontextmanager
async def holding(database: Database) -> AsyncIterator[asyncio.Event]:
    """Hold the lock of counter 1 in a transaction that ends when the event is set, or with the block."""
    held, release = asyncio.Event(), asyncio.Event()

    async def work(conn: AsyncConnection) -> None:
        await increment(conn)
        held.set()
        await release.wait()

    holder = asyncio.create_task(database.transact(work))
    await held.wait()
    try:
        yield release
    finally:
        release.set()
        await holder


async def test_it_commits_and_returns(counting: Database) -> None:
    assert await counting.transact(increment) == 1
    assert await value(counting) == 1


@pytest.mark.parametrize("error", [NotFound("no such app"), KeyError("a bug"), TypeError("another")], ids=repr)
async def test_what_work_raises_comes_out_and_rolls_back(counting: Database, error: Exception) -> None:
    attempts = 0

    async def work(conn: AsyncConnection) -> None:
        nonlocal attempts
        attempts += 1
        await increment(conn)
        raise error

    with pytest.raises(type(error)) as raised:
        await counting.transact(work)
    assert raised.value is error
    assert (attempts, await value(counting)) == (1, 0)


async def test_a_duplicate_key_is_not_retried(counting: Database) -> None:
    attempts = 0

    async def work(conn: AsyncConnection) -> None:
        nonlocal attempts
        attempts += 1
        await conn.execute(counters.insert().values(id=1, value=77))

    with pytest.raises(IntegrityError) as raised:
        await counting.transact(work)
    assert attempts == 1
    assert "77" not in str(raised.value)  # bound values stay out of messages


async def test_twenty_at_once_count_to_twenty(counting: Database) -> None:
    results = await asyncio.gather(*(counting.transact(increment) for _ in range(20)))
    assert sorted(results) == list(range(1, 21))
    assert await value(counting) == 20


async def test_so_do_two_processes(counting: Database, dsn: Dsn) -> None:
    other = await Database.open(dsn)
    await asyncio.gather(*(each.transact(increment) for each in (counting, other) for _ in range(10)))
    assert await value(counting) == 20
    await other.close()


async def test_nobody_sees_what_is_not_committed(counting: Database) -> None:
    async with holding(counting):
        assert await value(counting) == 0
    assert await value(counting) == 1


async def test_a_read_may_not_write(counting: Database) -> None:
    with pytest.raises(RuntimeError, match="may not write"):
        await counting.read(increment)
    assert await value(counting) == 0
    assert await counting.transact(increment) == 1


async def test_rows_found_are_counted_even_if_nothing_changes(counting: Database) -> None:
    same = update(counters).where(counters.c.id == 1).values(value=0)

    async def work(conn: AsyncConnection) -> list[int]:
        return [(await conn.execute(statement)).rowcount for statement in (same, same.where(counters.c.id == 9))]

    assert await counting.transact(work) == [1, 0]


async def test_cancelling_leaves_neither_lock_nor_connection(counting: Database) -> None:
    """More often than the pool has connections."""
    for turn in range(30):
        entered = asyncio.Event()

        async def work(conn: AsyncConnection, entered: asyncio.Event = entered) -> None:
            await increment(conn)
            entered.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(counting.transact(work))
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await counting.transact(increment, bound=SOON) == turn + 1


@pytest.mark.parametrize("times", [1, 2])
async def test_cancelling_at_whatever_point(counting: Database, times: int) -> None:
    """Once, or twice as when a shutdown cancels what a deadline has cancelled already."""
    gc.disable()  # what an interrupted statement holds is not to be freed by luck
    try:
        for turn in range(60):
            task = asyncio.create_task(counting.transact(increment))
            await asyncio.sleep(turn / 10_000)
            for _ in range(times):
                task.cancel()
                await asyncio.sleep(0)
            with suppress(asyncio.CancelledError):
                await task
            before = await value(counting)
            # Cancelled in the middle of its COMMIT, the first may still be counted after the second look.
            assert await counting.transact(increment, bound=SOON) - before in (1, 2)
    finally:
        gc.enable()


async def test_cancelling_whoever_waits_for_another_process(counting: Database, dsn: Dsn) -> None:
    other = await Database.open(dsn)
    async with holding(other) as release:
        tasks = [asyncio.create_task(counting.transact(increment)) for _ in range(5)]
        await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()
        release.set()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {asyncio.CancelledError}
    assert await other.transact(increment, bound=SOON) == 2
    assert await counting.transact(increment, bound=SOON) == 3
    await other.close()


async def test_a_transaction_that_takes_too_long_is_ended(counting: Database) -> None:
    async def work(conn: AsyncConnection) -> None:
        await increment(conn)
        await asyncio.Event().wait()

    began = time.monotonic()
    with pytest.raises(Transient) as late:
        await counting.transact(work, bound=timedelta(milliseconds=200))
    assert time.monotonic() - began < 10
    assert late.value.reason == "DATABASE_UNAVAILABLE"
    assert await counting.transact(increment, bound=SOON) == 1


async def test_a_lock_that_another_process_keeps_is_transient(counting: Database, dsn: Dsn) -> None:
    other = await Database.open(dsn, bound=timedelta(milliseconds=300))
    async with holding(counting) as release:
        asyncio.get_running_loop().call_later(0.6, release.set)
        with pytest.raises(Transient) as locked:
            await other.transact(increment)
    assert locked.value.__cause__ is None
    assert locked.value.__context__ is None
    assert await other.transact(increment) == 2
    await other.close()


async def test_the_lock_of_another_process_is_awaited(counting: Database, dsn: Dsn) -> None:
    other = await Database.open(dsn)
    async with holding(counting) as release:
        waiting = asyncio.create_task(other.transact(increment))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        release.set()
        assert await waiting == 2
    await other.close()


async def test_at_most_25_connections(counting: Database) -> None:
    running = most = 0
    full = asyncio.Event()

    async def work(conn: AsyncConnection) -> None:
        nonlocal running, most
        await conn.execute(text("SELECT 1"))
        running += 1
        most = max(most, running)
        if running == 25:
            full.set()
        await full.wait()
        await asyncio.sleep(0.02)  # for a 26th to show, if one could
        running -= 1

    await asyncio.gather(*(counting.read(work) for _ in range(100)))
    assert most == 25


async def test_ping(database: Database, dsn: Dsn) -> None:
    await database.ping()
    assert database.dialect == dsn.dialect


async def test_a_statement_that_is_wrong_is_no_trouble_that_passes(database: Database) -> None:
    async def work(conn: AsyncConnection) -> Any:
        return await conn.execute(text("SELECT nothing FROM nowhere"))

    with pytest.raises(DBAPIError):
        await database.read(work)


async def test_a_cancellation_is_never_lost_on_its_way_through_a_driver(counting: Database) -> None:
    """It may come back as an error that looks like trouble, or not at all: what works in a loop would go on."""

    async def for_ever() -> None:
        while True:
            await value(counting)
            with suppress(Transient):
                await counting.transact(increment)

    for turn in range(60):
        tasks = {asyncio.create_task(for_ever()) for _ in range(6)}
        await asyncio.sleep(0.005 + turn / 2_500)
        for task in tasks:
            task.cancel()
        ended, going_on = await asyncio.wait(tasks, timeout=20)
        assert not going_on
        assert all(task.cancelled() for task in ended)
