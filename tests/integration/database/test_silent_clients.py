"""Clients that a server has not heard of for a while: what they hold is let go, and who comes back notices nothing."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database import versions
from service.database.dsn import Dsn, parse
from service.database.engine import Database
from service.database.migrations import migrate
from tests.servers.mariadb import MariaDB

# Holds a region's counter, says so, and goes on holding it.
HOLDER = """
import asyncio, os
from service.database import versions
from service.database.dsn import parse
from service.database.engine import Database

async def hold(conn):
    await versions.lock(conn, ["region"])
    print("held", flush=True)
    await asyncio.Event().wait()

asyncio.run(Database(parse(os.environ["HELD_DSN"])).transact(hold))
"""


# Uses ten connections at once, twice, on the service's own event loop; the server closes them in between.
RETURNER = """
import asyncio, logging, os
import uvloop
from sqlalchemy import text
from service.database.dsn import parse
from service.database.engine import Database

attempts = 0

async def work(conn):
    global attempts
    attempts += 1
    return await conn.scalar(text("SELECT CONNECTION_ID()"))

async def main():
    logging.basicConfig()
    database = await Database.open(parse(os.environ["HELD_DSN"]))
    before = await asyncio.gather(*(database.transact(work) for _ in range(10)))
    await asyncio.sleep(2.5)
    after = await asyncio.gather(*(database.transact(work) for _ in range(10)))
    await asyncio.sleep(2.5)
    await database.close()
    print(attempts, len(set(before) & set(after)), flush=True)

uvloop.run(main())
"""


@asynccontextmanager
async def holding(dsn: str) -> AsyncIterator[Callable[[], None]]:
    """Run the holder, and give what freezes it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, env={**os.environ, "HELD_DSN": dsn}, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"held\n"
        yield lambda: process.send_signal(signal.SIGSTOP)
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def opened(dsn: Dsn) -> AsyncIterator[Database]:
    database = await Database.open(dsn)
    try:
        yield database
    finally:
        await database.close()


async def connection_id(conn: AsyncConnection) -> int:
    return int(await conn.scalar(text("SELECT CONNECTION_ID()")) or 0)


@pytest.mark.parametrize("name", ["wait_timeout", "IDLE_write_transaction_timeout"])
@pytest.mark.parametrize(
    ("asked", "kept"), [("5", 5), ("60", 60), ("61", 60), ("28800", 60), ("0", 60), ("default", 60)]
)
async def test_a_dsn_may_lower_the_bound_but_not_raise_it(mariadb_dsn: Dsn, name: str, asked: str, kept: int) -> None:
    async with opened(replace(mariadb_dsn, session=((name, asked),))) as database:
        assert await database.read(lambda conn: conn.scalar(text(f"SELECT @@{name}"))) == kept


async def test_a_frozen_process_does_not_keep_its_locks(mariadb: MariaDB) -> None:
    """What it holds is the counter of a region: every deploy to that region waits for it."""
    dsn = await mariadb.create_database()
    async with opened(parse(dsn)) as database:
        await migrate(database)
        await database.transact(lambda conn: versions.start_counters(conn, {"region": 1}))
        async with holding(f"{dsn}&wait_timeout=3") as freeze:
            freeze()
            began = time.monotonic()
            stamps = await database.transact(lambda conn: versions.lock(conn, ["region"]))
            assert time.monotonic() - began < 10
            assert stamps.take("region") == 2


async def test_connections_that_were_idle_for_too_long_are_replaced_unnoticed(mariadb_dsn: Dsn) -> None:
    attempts = 0

    async def work(conn: AsyncConnection) -> int:
        nonlocal attempts
        attempts += 1
        return await connection_id(conn)

    async with opened(replace(mariadb_dsn, session=(("wait_timeout", "1"),))) as database:
        before = await asyncio.gather(*(database.transact(work) for _ in range(10)))
        await asyncio.sleep(2.5)
        after = await asyncio.gather(*(database.transact(work) for _ in range(10)))
    assert set(before).isdisjoint(after)
    assert attempts == 20


async def test_what_serves_replaces_them_without_a_word(mariadb: MariaDB) -> None:
    """On uvloop a write on what the server has closed is an error of its own."""
    dsn = f"{await mariadb.create_database()}&wait_timeout=1"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", RETURNER),
        env={**os.environ, "HELD_DSN": dsn},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()

    assert (process.returncode, err.decode()) == (0, "")
    assert out == b"20 0\n"


async def test_quiet_times_need_one_connection(mariadb_dsn: Dsn) -> None:
    """The others are left to the server to close, and are not made anew one after the other."""

    async def work(conn: AsyncConnection) -> int:
        await conn.execute(text("DO SLEEP(0.1)"))
        return await connection_id(conn)

    async with opened(mariadb_dsn) as database:
        assert len(set(await asyncio.gather(*(database.read(work) for _ in range(5))))) == 5
        assert len({await database.read(work) for _ in range(10)}) == 1
