"""What a database error means: trouble that passes (03 · 2.0), a duplicate key, or a fault of ours."""

import errno
import socket
import sqlite3

from sqlalchemy import exc

from service.errors import Transient

# MySQL's and MariaDB's error numbers. The first two lines are the reference's own (03 · 2.0).
_TRANSIENT_CODES = frozenset(
    {
        1213, 1205,  # deadlock, lock wait timeout
        1040, 2006, 2013,  # too many connections, server gone, lost during a query
        1203, 1226,  # the user has too many connections
        2002, 2003, 2055,  # nothing listens at the socket or address, lost with a system error
        1053, 1927, 4031,  # the server shuts down, the connection was killed, was idle too long
        1020,  # the row changed since it was read (MariaDB's snapshot isolation)
    }
)  # fmt: skip
# The server is there, but is not, or no longer, the one that takes writes: another may be. The first three are those of
# Go's driver (rejectReadOnly).
_STEPPED_DOWN = frozenset(
    {
        1290, 1792, 1836,  # it is read-only: by an option (Aurora's, too), as a transaction, InnoDB alone
        3032, 3101,  # it is offline; its group did not take the transaction (MySQL Group Replication)
        1047,  # the node is out of its cluster, or not in it yet (Galera)
    }
)  # fmt: skip
_TRANSIENT_TEXTS = (
    "bad connection",
    "invalid connection",
    "connection refused",
    "connection reset",
    "packet sequence number wrong",  # the driver lost step with the server and has closed the connection
)
_CLOSED_ON_UVLOOP = "the handler is closed"  # a write on a connection that the other side has closed
_UNREACHABLE = frozenset({errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTUNREACH, errno.EHOSTDOWN})
_DUPLICATE_CODE = 1062
_SQLITE_DUPLICATES = frozenset(
    {sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_ROWID}
)
_SQLITE_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_READ_ONLY = "the database takes no writes: it is read-only"
_REFUSALS = {
    1044: "the database refuses this user the schema",
    1045: "the database refuses the user or the password",
    1049: "the database server has no such schema",
    1047: "the database's node is not ready: it is not a part of its cluster",
    1290: _READ_ONLY,
    1698: "the database refuses the user or the password",
    1792: _READ_ONLY,
    1836: _READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: "the SQLite file cannot be opened: its folder has to exist and be writable",
}


def code(error: BaseException) -> int | None:
    """Return the server's error number, or SQLite's extended result code; None where there is none."""
    origin = error.orig if isinstance(error, exc.DBAPIError) else error
    if isinstance(origin, sqlite3.Error):
        found: object = getattr(origin, "sqlite_errorcode", None)
    else:
        found = origin.args[0] if origin is not None and origin.args else None
    return found if isinstance(found, int) else None


def is_duplicate_key(error: BaseException) -> bool:
    """Tell whether a row was refused because of a unique or primary key."""
    if not isinstance(error, exc.IntegrityError):
        return False
    return code(error) in ({_DUPLICATE_CODE} | _SQLITE_DUPLICATES)


def is_transient(error: BaseException) -> bool:
    """Tell whether the same transaction, run again a little later, may succeed."""
    if isinstance(error, exc.DBAPIError):
        return error.connection_invalidated or _is_transient_origin(error)
    return isinstance(error, exc.TimeoutError | EOFError) or _is_network(error)


def has_stepped_down(error: BaseException) -> bool:
    """Tell whether the server is not the one that takes writes: who connects anew may find another."""
    return not isinstance(error, sqlite3.Error) and code(error) in _STEPPED_DOWN


def unavailable(error: BaseException) -> Transient:
    """Return the error for callers. Neither its text nor its facts hold an address, a user or SQL."""
    number = code(error)
    if number in _REFUSALS:
        return Transient(_REFUSALS[number], reason="DATABASE_UNAVAILABLE", code=str(number))
    facts = {} if number is None else {"code": str(number)}
    return Transient("the database is not available at the moment", reason="DATABASE_UNAVAILABLE", **facts)


def _is_transient_origin(error: exc.DBAPIError) -> bool:
    number = code(error)
    if isinstance(error.orig, sqlite3.Error):
        # The low byte is the primary code: SQLITE_BUSY_SNAPSHOT is SQLITE_BUSY with a reason.
        return number is not None and number & 0xFF in _SQLITE_BUSY
    if number in _TRANSIENT_CODES | _STEPPED_DOWN:
        return True
    if not isinstance(error, exc.OperationalError | exc.InterfaceError | exc.InternalError):
        return False  # its text quotes the caller's values
    text = str(error.orig).lower()
    return any(phrase in text for phrase in _TRANSIENT_TEXTS)


def _is_network(error: BaseException) -> bool:
    if isinstance(error, RuntimeError):
        return _CLOSED_ON_UVLOOP in str(error)
    if isinstance(error, ConnectionError | TimeoutError | socket.gaierror):
        return True
    return isinstance(error, OSError) and error.errno in _UNREACHABLE
