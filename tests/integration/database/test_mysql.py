"""What only a server does: deadlocks, outages, connections that die or fall silent, TLS."""

import asyncio
import shutil
import subprocess
import time
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database import condition
from service.database.dsn import Dsn, parse
from service.database.engine import Database
from service.errors import FailedPrecondition, Transient
from tests.servers.mariadb import MariaDB

SECOND = timedelta(seconds=1)


@asynccontextmanager
async def opened(dsn: Dsn) -> AsyncIterator[Database]:
    """Open a database with the rows 1 and 2 in a table `t`."""
    database = await Database.open(dsn)

    async def work(conn: AsyncConnection) -> None:
        await conn.execute(text("CREATE TABLE IF NOT EXISTS t (id INT PRIMARY KEY, n INT NOT NULL)"))
        await conn.execute(text("REPLACE INTO t VALUES (1, 0), (2, 0)"))

    await database.transact(work)
    try:
        yield database
    finally:
        await database.close()


@pytest.fixture
async def database(mariadb_dsn: Dsn) -> AsyncIterator[Database]:
    async with opened(mariadb_dsn) as database:
        yield database


async def add(conn: AsyncConnection, row: int = 1) -> None:
    await conn.execute(text("UPDATE t SET n = n + 1 WHERE id = :row"), {"row": row})


async def numbers(database: Database) -> list[int]:
    return list(await database.read(lambda conn: conn.scalars(text("SELECT n FROM t ORDER BY id"))))


def shown(error: BaseException) -> str:
    """Write down all of an error that could get into a log."""
    facts = getattr(error, "facts", {})
    return "".join(traceback.format_exception(error)) + f"{error!r} {facts}"


async def test_a_deadlock_is_retried(database: Database) -> None:
    attempts = 0
    both = asyncio.Barrier(2)

    async def work(conn: AsyncConnection, first: int, second: int) -> None:
        nonlocal attempts
        attempts += 1
        await add(conn, first)
        if attempts <= 2:
            await both.wait()
        await add(conn, second)

    await asyncio.gather(
        database.transact(lambda conn: work(conn, 1, 2)), database.transact(lambda conn: work(conn, 2, 1))
    )
    assert attempts == 3
    assert await numbers(database) == [2, 2]


async def test_three_attempts_then_transient(database: Database) -> None:
    attempts = 0

    async def work(conn: AsyncConnection) -> None:
        nonlocal attempts
        attempts += 1
        await add(conn)
        await conn.execute(text("SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213"))

    began = time.monotonic()
    with pytest.raises(Transient) as failed:
        await database.transact(work)
    assert time.monotonic() - began >= 0.15
    assert attempts == 3
    assert failed.value.facts == {"code": "1213"}
    assert "SIGNAL" not in shown(failed.value)
    assert await numbers(database) == [0, 0]


async def test_a_lock_wait_that_times_out_is_retried(mariadb_dsn: Dsn) -> None:
    impatient = replace(mariadb_dsn, session=(("innodb_lock_wait_timeout", "1"),))
    async with opened(impatient) as database:
        held = asyncio.Event()
        attempts = 0

        async def hold(conn: AsyncConnection) -> None:
            await add(conn)
            held.set()
            await asyncio.sleep(1.3)

        async def work(conn: AsyncConnection) -> None:
            nonlocal attempts
            attempts += 1
            await add(conn)

        holder = asyncio.create_task(database.transact(hold))
        await held.wait()
        await database.transact(work)
        await holder
        assert attempts == 2
        assert await numbers(database) == [2, 0]


async def test_how_a_session_is_set_up(mariadb_dsn: Dsn) -> None:
    changed = replace(mariadb_dsn, session=(("lock_wait_timeout", "7"), ("lc_messages", "'de_DE'")))
    async with opened(changed) as database:
        timeouts = "@@innodb_lock_wait_timeout, @@lock_wait_timeout, @@wait_timeout"
        query = f"SELECT @@tx_isolation, {timeouts}, @@lc_messages, @@autocommit"
        row = (await database.read(lambda conn: conn.execute(text(query)))).one()
        assert tuple(row) == ("READ-COMMITTED", 5, 7, 60, "de_DE", 0)
        charset = "SELECT @@character_set_client, @@character_set_connection, @@character_set_results"
        row = (await database.read(lambda conn: conn.execute(text(charset)))).one()
        assert set(row) == {"utf8mb4"}


# What Go's driver would set in each session.
OTHERWISE = (
    "tx_isolation='REPEATABLE-READ'",
    "TX_Isolation=%22SERIALIZABLE%22",
    "transaction_isolation=%27REPEATABLE-READ%27",
    "tx_isolation=READ-UNCOMMITTED&Transaction_Isolation='REPEATABLE-READ'",
    "autocommit=true",
    "AutoCommit=1&tx_isolation='REPEATABLE-READ'",
)


@pytest.fixture(params=["", *OTHERWISE])
async def insisting(request: pytest.FixtureRequest, mariadb: MariaDB) -> AsyncIterator[Database]:
    """Open a database by a DSN that asks for other transactions than ours."""
    async with opened(parse(f"{await mariadb.create_database()}&{request.param}")) as database:
        yield database


async def test_a_transaction_sees_what_others_commit(insisting: Database) -> None:
    async def work(conn: AsyncConnection) -> list[int | None]:
        before = await conn.scalar(text("SELECT n FROM t WHERE id = 1"))
        await insisting.transact(add)
        return [before, await conn.scalar(text("SELECT n FROM t WHERE id = 1"))]

    assert await insisting.transact(work) == [0, 1]


async def test_a_transaction_is_all_or_nothing(insisting: Database) -> None:
    async def work(conn: AsyncConnection) -> None:
        await add(conn)
        assert await numbers(insisting) == [0, 0]
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        await insisting.transact(work)
    assert await numbers(insisting) == [0, 0]


async def test_every_connection_has_our_isolation(insisting: Database) -> None:
    async def work(conn: AsyncConnection) -> tuple[str, int]:
        await asyncio.sleep(0.05)
        return tuple((await conn.execute(text("SELECT @@tx_isolation, @@autocommit"))).one())

    assert set(await asyncio.gather(*(insisting.read(work) for _ in range(5)))) == {("READ-COMMITTED", 0)}
    assert await condition.isolation(insisting) == "READ-COMMITTED"


async def test_a_connection_that_is_killed_is_replaced(database: Database, mariadb: MariaDB) -> None:
    attempts = 0

    async def work(conn: AsyncConnection) -> None:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            await mariadb.administer(f"KILL {await conn.scalar(text('SELECT CONNECTION_ID()'))}")
        await add(conn)

    await database.transact(work)
    assert attempts == 2
    assert await numbers(database) == [1, 0]


async def test_connections_that_died_in_the_pool_are_not_noticed(own_mariadb: MariaDB) -> None:
    async with opened(parse(await own_mariadb.create_database())) as database:
        await asyncio.gather(*(database.transact(add) for _ in range(10)))
        await own_mariadb.kill()
        await own_mariadb.restart()
        await asyncio.gather(*(database.transact(add) for _ in range(10)))
        assert await numbers(database) == [20, 0]


async def test_a_crash_in_the_middle_of_a_transaction(own_mariadb: MariaDB) -> None:
    async with opened(parse(await own_mariadb.create_database())) as database:
        await database.transact(add)
        attempts = 0

        async def work(conn: AsyncConnection) -> None:
            nonlocal attempts
            attempts += 1
            await add(conn)
            if attempts == 1:
                await own_mariadb.kill()
                await own_mariadb.restart()
            await add(conn, 2)

        await database.transact(work)
        assert attempts == 2
        assert await numbers(database) == [2, 1]  # what was committed before the crash is still there


async def test_a_server_that_is_read_only_for_a_while(own_mariadb: MariaDB) -> None:
    async with opened(parse(await own_mariadb.create_database())) as database:
        await own_mariadb.administer("SET GLOBAL read_only = 1")
        assert await condition.refusal_of_writes(database) == "it is read-only"
        with pytest.raises(Transient, match="read-only") as failed:
            await database.transact(add)
        assert failed.value.facts == {"code": "1290"}
        await own_mariadb.administer("SET GLOBAL read_only = 0")
        await database.transact(add)
        assert await numbers(database) == [1, 0]


@pytest.mark.parametrize("when", ["before", "commit"])
async def test_nobody_stays_with_a_server_that_became_read_only(own_mariadb: MariaDB, when: str) -> None:
    """As an old primary does whose connections live on: the next try asks anew who takes writes."""
    async with opened(parse(await own_mariadb.create_database())) as database:
        tried: list[int] = []

        async def connection_id(conn: AsyncConnection) -> int:
            return int(await conn.scalar(text("SELECT CONNECTION_ID()")) or 0)

        async def work(conn: AsyncConnection) -> None:
            tried.append(await connection_id(conn))
            if len(tried) == 2:
                await own_mariadb.administer("SET GLOBAL read_only = 0")
            await add(conn)
            if len(tried) == 1:
                await own_mariadb.administer("SET GLOBAL read_only = 1")

        before = await asyncio.gather(*(database.read(connection_id) for _ in range(10)))
        if when == "before":
            await own_mariadb.administer("SET GLOBAL read_only = 1")
        await database.transact(work)
        after = await asyncio.gather(*(database.read(connection_id) for _ in range(10)))

        assert len(tried) == 2
        assert tried[0] in before
        assert tried[1] not in before
        assert set(before).isdisjoint(after)
        assert await numbers(database) == [1, 0]


async def test_an_outage_is_transient_and_tells_no_secret(own_mariadb: MariaDB) -> None:
    dsn = parse(await own_mariadb.create_database())
    async with opened(dsn) as database:
        await own_mariadb.kill()
        for call in (database.transact(add), database.read(add), database.ping()):
            with pytest.raises(Transient) as failed:
                await call
            assert failed.value.reason == "DATABASE_UNAVAILABLE"
            for secret in (dsn.password, dsn.user, dsn.host, str(dsn.port), "UPDATE"):
                assert secret not in shown(failed.value)
        await own_mariadb.restart()
        await database.transact(add)
        assert await numbers(database) == [1, 0]


async def test_a_start_waits_for_the_server(own_mariadb: MariaDB) -> None:
    dsn = parse(await own_mariadb.create_database())
    await own_mariadb.stop()
    database = Database(dsn)
    with pytest.raises(Transient):
        await database.wait_until_reachable((0.01, 0.01))
    waiting = asyncio.create_task(database.wait_until_reachable((0.1,) * 50))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    await own_mariadb.restart()
    await waiting
    await database.close()


async def test_a_server_that_falls_silent(own_mariadb: MariaDB) -> None:
    """Neither in a statement nor in the pool does anybody wait for it longer than the bound."""
    async with opened(parse(await own_mariadb.create_database())) as database:
        await asyncio.gather(*(database.transact(add) for _ in range(10)))
        own_mariadb.pause()
        outcomes = await asyncio.wait_for(  # it stays silent: who waits beyond the bound waits for ever
            asyncio.gather(*(database.transact(add, bound=SECOND) for _ in range(30)), return_exceptions=True), 60
        )
        assert {type(outcome) for outcome in outcomes} == {Transient}
        own_mariadb.resume()
        await asyncio.gather(*(database.transact(add, bound=5 * SECOND) for _ in range(30)))
        before = await numbers(database)
        assert before[0] >= 40


async def test_a_silent_server_is_not_awaited_for_long_at_the_log_in() -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    database = Database(parse(f"u:p@tcp(127.0.0.1:{port})/x?parseTime=true&timeout=200ms"))
    with pytest.raises(Transient):
        await asyncio.wait_for(database.transact(add), 25)  # it would be 30 s: the transaction's own bound
    await database.close()
    silent.close()


@pytest.mark.parametrize(
    ("changed", "told", "code"),
    [
        ({"password": "wrong-and-secret"}, "refuses the user or the password", "1045"),
        ({"user": "nobody"}, "refuses the user or the password", "1045"),
        ({"database": "mysql"}, "refuses this user the schema", "1044"),
    ],
)
async def test_what_is_refused_says_so(mariadb_dsn: Dsn, changed: dict[str, str], told: str, code: str) -> None:
    database = Database(replace(mariadb_dsn, **changed))  # type: ignore[arg-type] # all of them texts
    with pytest.raises(Transient, match=told) as failed:
        await database.ping()
    assert failed.value.facts == {"code": code}
    for secret in (mariadb_dsn.password, mariadb_dsn.user, *changed.values()):
        assert secret not in shown(failed.value).replace("test_mysql", "")
    await database.close()


async def test_errors_hold_no_bound_values(database: Database) -> None:
    query = text("SELECT * FROM nowhere WHERE a = :a")
    with pytest.raises(DBAPIError) as failed:
        await database.read(lambda conn: conn.execute(query, {"a": "hunter2"}))
    assert "hunter2" not in str(failed.value)


async def test_a_collation_of_the_dsn(mariadb_dsn: Dsn) -> None:
    async with opened(replace(mariadb_dsn, session=(("collation_connection", "'utf8mb4_bin'"),))) as database:
        found = await database.read(lambda conn: conn.scalar(text("SELECT @@collation_connection")))
        assert found == "utf8mb4_bin"


# --------------------------------------------------------------------------------------------------------------- TLS


async def cipher(database: Database) -> str:
    row = (await database.read(lambda conn: conn.execute(text("SHOW SESSION STATUS LIKE 'Ssl_cipher'")))).one()
    return str(row[1])


async def test_without_tls_on_the_server(mariadb_dsn: Dsn) -> None:
    async with opened(replace(mariadb_dsn, tls="preferred")) as database:
        assert await cipher(database) == ""
    for mode in ("true", "skip-verify"):
        database = Database(replace(mariadb_dsn, tls=mode))
        with pytest.raises(FailedPrecondition, match="offers no TLS"):
            await database.transact(add)
        await database.close()


async def test_with_tls_on_the_server(tmp_path: Path, mariadb: MariaDB) -> None:  # noqa: ARG001 - skips as it does
    openssl = shutil.which("openssl")
    assert openssl, "this test makes a certificate with the program openssl"
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = f"req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=nobody -keyout {key} -out {certificate}"
    subprocess.run([openssl, *make.split()], check=True, capture_output=True)  # noqa: S603, ASYNC221 - a moment
    server = MariaDB(tmp_path / "mariadb", f"--ssl-cert={certificate}", f"--ssl-key={key}")
    await server.start()
    dsn = parse(await server.create_database())
    for mode in ("preferred", "skip-verify"):
        async with opened(replace(dsn, tls=mode)) as database:
            assert await cipher(database) != ""
    verifying = Database(replace(dsn, tls="true"))
    with pytest.raises(Transient):
        await verifying.ping()
    await verifying.close()
    await server.stop()
