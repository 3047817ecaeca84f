"""Connections: how each database is opened, set up, pooled and begun. What differs between the two is said here.

MySQL: READ COMMITTED, short lock waits, so that a deadlock or a forgotten lock ends in an error that is retried. The
server closes a connection that says nothing for a minute: a worker that has vanished gives its locks back.
SQLite: write-ahead log, and BEGIN IMMEDIATE for whoever is going to write; that excludes other writers, which
makes up for the row locks that it does not have (`with_for_update()` is dropped when SQL is written for it).
"""

import asyncio
import logging
import sqlite3
import ssl
from contextlib import suppress
from typing import Any

import aiomysql  # type: ignore[import-untyped] # neither driver carries types
from pymysql.constants import CLIENT, ER  # type: ignore[import-untyped]
from sqlalchemy import Connection, ExceptionContext, event
from sqlalchemy.engine import URL, AdaptedConnection
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from service.database.dsn import Dsn
from service.database.failures import has_stepped_down
from service.errors import FailedPrecondition

# Sizes and lifetime of 03 · 2.0. The wait for a free connection is shorter than the bound of a transaction, so
# that a full pool says so.
_POOL = {"pool_size": 10, "max_overflow": 15, "pool_recycle": 300, "pool_timeout": 20}
# The connection that came back last is used next: in quiet times the server closes the others for being idle, once.
_MYSQL_POOL = {**_POOL, "pool_use_lifo": True}
_PING_SECONDS = 3
_LOCK_WAIT_SECONDS = 5
_METADATA_LOCK_WAIT_SECONDS = 10
# How long a client may say nothing before the server takes it for gone, in a transaction or not; a transaction takes
# less. MariaDB's three others, where they are set, count inside of a transaction in place of the first one.
_IDLE_SECONDS = 60
_IDLE = (
    "wait_timeout",
    "idle_transaction_timeout",
    "idle_write_transaction_timeout",
    "idle_readonly_transaction_timeout",
)
# What our transactions rely on, whatever a DSN says: to see what was committed before they got a lock, and to be one.
ISOLATION = "READ COMMITTED"
_OURS_ALONE = frozenset({"tx_isolation", "transaction_isolation", "autocommit"})
_BUSY_TIMEOUT_MS = 5000

BEGIN = "hydra_begin"  # execution option: the statement that begins a transaction on SQLite
READS = {BEGIN: "BEGIN"}
WRITES = {BEGIN: "BEGIN IMMEDIATE"}


def create_pool(dsn: Dsn) -> AsyncEngine:
    """Create the pool for a DSN without connecting. Errors' texts carry no bound values."""
    engine = _mysql(dsn) if dsn.dialect == "mysql" else _sqlite(dsn)
    event.listen(engine.sync_engine, "before_cursor_execute", _refuse_writes)
    return engine


def _refuse_writes(connection: Connection, *call: Any) -> None:
    """Refuse a write in `read`, whose transaction is rolled back: it would vanish without a word."""
    context = call[3]
    if connection.get_execution_options().get(BEGIN) == READS[BEGIN] and context is not None and context.is_crud:
        raise RuntimeError("a read may not write: use Database.transact")


# ------------------------------------------------------------------------------------------------------------- MySQL


def _mysql(dsn: Dsn) -> AsyncEngine:
    async def connect() -> aiomysql.Connection:
        # The driver's own timeout ends with the TCP handshake; a server that then says nothing would hang us.
        async with asyncio.timeout(dsn.connect_timeout.total_seconds()):
            return await _connect_mysql(dsn)

    def set_up(connection: Any, _: object) -> None:
        # Not the driver's init_command: SQLAlchemy sets the character set after it, and with it the collation.
        cursor = connection.cursor()
        cursor.execute(session_statement(dsn))
        cursor.close()

    engine = create_async_engine(
        URL.create("mysql+aiomysql"),
        async_creator=connect,
        isolation_level=ISOLATION,
        hide_parameters=True,
        **_MYSQL_POOL,
    )
    event.listen(engine.sync_engine, "connect", set_up)
    event.listen(engine.sync_engine, "checkout", _ping)
    event.listen(engine.sync_engine, "handle_error", _leave)
    for end in ("invalidate", "close"):
        event.listen(engine.sync_engine, end, _let_go)
    return engine


def _let_go(connection: AdaptedConnection, *_: Any) -> None:
    """Close a connection that its server has closed without a last word: uvloop raises where one is written."""
    raw = connection.driver_connection
    writer = getattr(raw, "_writer", None)
    if writer is not None and writer.transport.is_closing():
        raw.close()


def _leave(trouble: ExceptionContext) -> None:
    """Drop all connections to a server that takes no writes any more: they would live on, and lead there for ever."""
    if has_stepped_down(trouble.original_exception):
        trouble.is_disconnect = True


def _ping(connection: AdaptedConnection, *_: Any) -> None:
    """Ping a connection before it is used. Unlike the pool's own ping this one ends."""

    async def ping(raw: aiomysql.Connection) -> None:
        async with asyncio.timeout(_PING_SECONDS):
            await raw.ping(reconnect=False)

    try:
        connection.run_async(ping)
    except (OSError, EOFError, aiomysql.Error, RuntimeError):  # RuntimeError: uvloop's for a connection that is closed
        # What killed this connection killed the others: make the pool begin anew.
        raise InvalidatePoolError from None


async def _connect_mysql(dsn: Dsn) -> aiomysql.Connection:
    arguments = connect_arguments(dsn)
    try:
        connection = await aiomysql.connect(**arguments)
    except aiomysql.OperationalError as error:
        if dsn.tls != "preferred" or error.args[0] != ER.HANDSHAKE_ERROR:
            raise
        return await aiomysql.connect(**{**arguments, "ssl": None})
    if dsn.tls in {"true", "skip-verify"}:
        await _insist_on_tls(connection)
    return connection


async def _insist_on_tls(connection: aiomysql.Connection) -> None:
    """Close a connection that is in the clear: the driver goes on without TLS where the server has none."""
    async with connection.cursor() as cursor:
        await cursor.execute("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
        row = await cursor.fetchone()
    if row is None or not row[1]:
        connection.close()
        raise FailedPrecondition(
            "the database server offers no TLS, but the DSN asks for it (tls=true or tls=skip-verify)",
            reason="DATABASE_WITHOUT_TLS",
        )


def connect_arguments(dsn: Dsn) -> dict[str, Any]:
    """Write a MySQL DSN as the arguments of `aiomysql.connect`."""
    return {
        "host": dsn.host or "localhost",
        "port": dsn.port,
        "unix_socket": dsn.unix_socket or None,
        "user": dsn.user,
        # The driver writes passwords in Latin-1, servers and the driver in Go take them as UTF-8.
        "password": dsn.password.encode().decode("latin-1"),
        "db": dsn.database,
        "charset": dsn.charset,
        "connect_timeout": dsn.connect_timeout.total_seconds(),
        "ssl": _tls(dsn.tls),
        # Affected rows are the rows found, as SQLAlchemy takes them to be and as SQLite counts.
        "client_flag": CLIENT.FOUND_ROWS,
    }


def session_statement(dsn: Dsn) -> str:
    """Write the statement that sets a session up; what the DSN says goes before what we would, within bounds."""
    session = {
        "innodb_lock_wait_timeout": str(_LOCK_WAIT_SECONDS),
        "lock_wait_timeout": str(_METADATA_LOCK_WAIT_SECONDS),
        "wait_timeout": str(_IDLE_SECONDS),
        **{name.lower(): value for name, value in dsn.session if name not in overruled(dsn)},
    }
    session |= {name: str(_idle_seconds(session[name])) for name in _IDLE if name in session}
    return "SET " + ", ".join(f"{name} = {value}" for name, value in session.items())


def overruled(dsn: Dsn) -> list[str]:
    """Return the session variables of a DSN that do not count, as it spells them."""
    return [name for name, _ in dsn.session if name.lower() in _OURS_ALONE]


def _idle_seconds(asked: str) -> int:
    """Return what was asked for where that is less than ours; 0 is none, and ours then."""
    seconds = int(asked) if asked.isascii() and asked.isdecimal() else 0
    return seconds if 0 < seconds < _IDLE_SECONDS else _IDLE_SECONDS


def _tls(mode: str) -> ssl.SSLContext | None:
    if mode == "false":
        return None
    context = ssl.create_default_context()
    if mode != "true":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


# ------------------------------------------------------------------------------------------------------------ SQLite


def _sqlite(dsn: Dsn) -> AsyncEngine:
    # At its lowest level this driver logs statements with their values.
    logging.getLogger("aiosqlite").setLevel(logging.INFO)
    engine = create_async_engine(URL.create("sqlite+aiosqlite", database=dsn.database), hide_parameters=True, **_POOL)
    event.listen(engine.sync_engine, "connect", _set_up_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    event.listen(engine.sync_engine, "invalidate", _roll_back_sqlite)
    return engine


def _set_up_sqlite(connection: Any, _: object) -> None:
    # The driver is not to begin transactions by itself; `_begin_sqlite` does.
    connection.isolation_level = None
    cursor = connection.cursor()
    for name, value in (
        ("busy_timeout", _BUSY_TIMEOUT_MS),
        ("journal_mode", "WAL"),
        ("synchronous", "NORMAL"),
    ):
        cursor.execute(f"PRAGMA {name} = {value}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get(BEGIN, READS[BEGIN]))


def _roll_back_sqlite(connection: AdaptedConnection, *_: object) -> None:
    """Give the lock back before an interrupted connection is closed.

    SQLite keeps a closed connection, with its lock, for as long as a statement of it has rows to give, and the
    interrupted statement waits for Python's garbage collector.
    """
    # A second cancellation on top of the one that led here adds nothing, but would leave the connection open.
    with suppress(sqlite3.Error, ValueError, asyncio.CancelledError):
        connection.run_async(lambda raw: asyncio.shield(raw.rollback()))
