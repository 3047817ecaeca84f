import errno
import socket
import sqlite3
from asyncio import CancelledError, IncompleteReadError

import pytest
from pymysql import err  # type: ignore[import-untyped] # the driver carries no types
from sqlalchemy import exc

from service.database.failures import code, has_stepped_down, is_duplicate_key, is_transient, unavailable
from service.errors import NotFound

TRANSIENT = (1213, 1205, 1040, 2006, 2013, 2002, 2003, 1053, 1927, 4031)
STEPPED_DOWN = (1290, 1792, 1836, 3032, 3101, 1047)
SECRETS = ("db.internal", "hunter2", "SELECT", "10.0.0.7", "scott")


def wrapped(kind: type[exc.DBAPIError], origin: Exception, *, invalidated: bool = False) -> exc.DBAPIError:
    return kind("SELECT hunter2", {"password": "hunter2"}, origin, connection_invalidated=invalidated)


def sqlite_error(script: str) -> sqlite3.Error:
    """Let SQLite itself fail."""
    connection = sqlite3.connect(":memory:", timeout=0)
    connection.execute("CREATE TABLE t (pk INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL)")
    connection.execute("INSERT INTO t VALUES (1, 'a')")
    try:
        connection.execute(script)
    except sqlite3.Error as error:
        return error
    finally:
        connection.close()
    raise AssertionError(script)


@pytest.mark.parametrize("number", [*TRANSIENT, *STEPPED_DOWN])
def test_numbers_that_pass(number: int) -> None:
    assert is_transient(wrapped(exc.OperationalError, err.OperationalError(number, "at db.internal")))


@pytest.mark.parametrize("number", [*TRANSIENT, *STEPPED_DOWN, 1062])
def test_servers_that_take_no_writes_any_more(number: int) -> None:
    assert has_stepped_down(err.OperationalError(number, "at db.internal")) is (number in STEPPED_DOWN)


def test_a_number_of_sqlite_is_none_of_mysqls() -> None:
    error = sqlite3.OperationalError("attempt to write a readonly database")
    error.sqlite_errorcode = 1290
    assert not has_stepped_down(error)


@pytest.mark.parametrize(
    "error",
    [
        wrapped(exc.InterfaceError, err.InterfaceError(0, "Not connected"), invalidated=True),
        wrapped(exc.InternalError, err.InternalError("Packet sequence number wrong - got 1 expected 0")),
        wrapped(exc.OperationalError, err.OperationalError(9999, "driver: bad connection")),
        wrapped(exc.OperationalError, err.OperationalError("invalid connection")),
        exc.TimeoutError("QueuePool limit reached"),
        ConnectionRefusedError(),
        ConnectionResetError(),
        BrokenPipeError(),
        TimeoutError(),
        EOFError(),
        IncompleteReadError(b"", 4),
        socket.gaierror(),
        OSError(errno.ENETUNREACH, "unreachable"),
        OSError(errno.EHOSTUNREACH, "no route"),
    ],
    ids=repr,
)
def test_trouble_of_the_connection_passes(error: Exception) -> None:
    assert is_transient(error)


@pytest.mark.parametrize(
    "error",
    [
        wrapped(exc.IntegrityError, err.IntegrityError(1062, "Duplicate entry 'connection refused' for key 'x'")),
        wrapped(exc.DataError, err.DataError(1406, "Data too long for column 'bad connection'")),
        wrapped(exc.ProgrammingError, err.ProgrammingError(1146, "no such table")),
        wrapped(exc.OperationalError, err.OperationalError(1045, "Access denied")),
        wrapped(exc.OperationalError, err.OperationalError(1054, "Unknown column")),
        exc.NoResultFound(),
        NotFound("no such app"),
        FileNotFoundError(errno.ENOENT, "gone"),
        PermissionError(errno.EACCES, "denied"),
        KeyError("a bug"),
        CancelledError(),
    ],
    ids=repr,
)
def test_the_rest_does_not(error: BaseException) -> None:
    assert not is_transient(error)


def test_sqlite_is_busy_for_a_while(tmp_path: object) -> None:
    path = f"{tmp_path}/busy.db"
    first, second = (sqlite3.connect(path, timeout=0, isolation_level=None) for _ in range(2))
    first.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError) as busy:
        second.execute("BEGIN IMMEDIATE")
    assert is_transient(wrapped(exc.OperationalError, busy.value))
    for connection in (first, second):
        connection.close()


def test_sqlite_syntax_is_wrong_for_good() -> None:
    assert not is_transient(wrapped(exc.OperationalError, sqlite_error("SELEC 1")))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (wrapped(exc.IntegrityError, err.IntegrityError(1062, "Duplicate entry")), True),
        (wrapped(exc.IntegrityError, err.IntegrityError(1048, "Column cannot be null")), False),
        (wrapped(exc.IntegrityError, sqlite_error("INSERT INTO t VALUES (2, 'a')")), True),
        (wrapped(exc.IntegrityError, sqlite_error("INSERT INTO t VALUES (1, 'b')")), True),
        (wrapped(exc.IntegrityError, sqlite_error("INSERT INTO t VALUES (2, NULL)")), False),
        (wrapped(exc.OperationalError, err.OperationalError(1213, "Deadlock")), False),
        (err.IntegrityError(1062, "never seen bare"), False),
    ],
    ids=repr,
)
def test_duplicate_keys(error: Exception, *, expected: bool) -> None:
    assert is_duplicate_key(error) is expected


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (2003, "Can't connect to MySQL server on 'db.internal' (10.0.0.7)"),
        (1045, "Access denied for user 'scott'@'10.0.0.7' (using password: YES)"),
        (1049, "Unknown database 'scott'"),
        (1290, "The MariaDB server is running with the --read-only option: SELECT"),
    ],
)
def test_what_callers_see_names_no_address_and_no_sql(number: int, text: str) -> None:
    failure = unavailable(wrapped(exc.OperationalError, err.OperationalError(number, text)))
    assert failure.reason == "DATABASE_UNAVAILABLE"
    assert failure.facts == {"code": str(number)}
    assert not [word for word in SECRETS if word in f"{failure} {failure!r} {failure.facts}"]


def test_an_error_without_a_number() -> None:
    assert code(EOFError("no number")) is None
    assert unavailable(TimeoutError()).facts == {}
