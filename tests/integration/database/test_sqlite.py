import asyncio
import sqlite3
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database.dsn import Dsn
from service.database.engine import Database
from service.errors import Transient


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """Open a file with one table of one row."""
    opened = await Database.open(Dsn("sqlite", str(tmp_path / "hydra.db")))

    async def work(conn: AsyncConnection) -> None:
        await conn.execute(text("CREATE TABLE t (n INT)"))
        await conn.execute(text("INSERT INTO t VALUES (1)"))

    await opened.transact(work)
    yield opened
    await opened.close()


async def pragma(conn: AsyncConnection, name: str) -> str | int | None:
    found: str | int | None = await conn.scalar(text(f"PRAGMA {name}"))
    return found


async def test_how_a_connection_is_set_up(database: Database) -> None:
    assert await database.read(lambda conn: pragma(conn, "journal_mode")) == "wal"
    assert await database.read(lambda conn: pragma(conn, "busy_timeout")) == 5000
    assert await database.read(lambda conn: pragma(conn, "synchronous")) == 1


async def test_a_read_is_of_one_moment(database: Database) -> None:
    async def twice(conn: AsyncConnection) -> list[int | None]:
        first = await conn.scalar(text("SELECT n FROM t"))
        await database.transact(lambda other: other.execute(text("UPDATE t SET n = 2")))
        return [first, await conn.scalar(text("SELECT n FROM t"))]

    assert await database.read(twice) == [1, 1]
    assert await database.read(lambda conn: conn.scalar(text("SELECT n FROM t"))) == 2


async def test_whoever_will_write_has_the_lock_from_the_start(database: Database, tmp_path: Path) -> None:
    """Otherwise two that read first and write then would deadlock, and SQLite lets only one of them retry."""
    outsider = sqlite3.connect(tmp_path / "hydra.db", timeout=0, isolation_level=None)

    async def work(conn: AsyncConnection) -> str:
        await conn.scalar(text("SELECT n FROM t"))
        try:
            outsider.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            return error.sqlite_errorname
        return "no lock"

    assert await database.transact(work) == "SQLITE_BUSY"
    outsider.close()


async def test_ddl_rolls_back(database: Database) -> None:
    async def work(conn: AsyncConnection) -> None:
        await conn.execute(text("CREATE TABLE u (n INT)"))
        raise KeyError

    with pytest.raises(KeyError):
        await database.transact(work)
    tables = text("SELECT count(*) FROM sqlite_master WHERE name = 'u'")
    assert await database.read(lambda conn: conn.scalar(tables)) == 0


async def test_cancelling_whoever_waits_in_sqlites_own_line(database: Database, tmp_path: Path) -> None:
    """The statement goes on in its thread after the task is gone; the lock it gets then must not stay."""
    outsider = sqlite3.connect(tmp_path / "hydra.db", timeout=0, isolation_level=None)
    outsider.execute("BEGIN IMMEDIATE")
    waiting = asyncio.create_task(database.transact(lambda conn: conn.execute(text("UPDATE t SET n = 9"))))
    await asyncio.sleep(0.1)
    waiting.cancel()
    await asyncio.sleep(0.1)
    outsider.execute("COMMIT")
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.sleep(0.3)
    outsider.execute("BEGIN IMMEDIATE")
    assert outsider.execute("SELECT n FROM t").fetchone() == (1,)
    outsider.execute("COMMIT")
    outsider.close()
    await database.transact(lambda conn: conn.execute(text("UPDATE t SET n = 3")), bound=timedelta(seconds=1))


async def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Transient, match="its folder has to exist"):
        await Database.open(Dsn("sqlite", str(tmp_path / "nowhere" / "hydra.db")))
