"""The text that says where the database is: a Go MySQL DSN as the reference takes it (03 · 6), or `sqlite:///path`.

Messages never quote the text: where it is malformed, any part of it may be the password.
"""

import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal
from urllib.parse import unquote, unquote_plus

Dialect = Literal["mysql", "sqlite"]

DEFAULT_CONNECT_TIMEOUT = timedelta(seconds=5)
_DEFAULT_PORT = 3306
_LAST_PORT = 65535
_SHAPE = "user:password@tcp(host:port)/database?parseTime=true"
_TLS = {
    "true": "true",
    "1": "true",
    "false": "false",
    "0": "false",
    "skip-verify": "skip-verify",
    "preferred": "preferred",
}
_CHARSETS = frozenset({"utf8mb4", "utf8mb3", "utf8"})

# Parameters of go-sql-driver that say nothing to this driver (03 · 6).
_WITHOUT_EFFECT = frozenset(
    {
        "allowAllFiles",
        "allowCleartextPasswords",
        "allowFallbackToPlaintext",
        "allowNativePasswords",
        "allowOldPasswords",
        "checkConnLiveness",
        "clientFoundRows",
        "columnsWithAlias",
        "compress",
        "connectionAttributes",
        "interpolateParams",
        "loc",
        "maxAllowedPacket",
        "multiStatements",
        "parseTime",
        "readTimeout",
        "rejectReadOnly",
        "serverPubKey",
        "strict",
        "timeTruncate",
        "writeTimeout",
    }
)
_VARIABLE = re.compile(r"[A-Za-z]\w*", re.ASCII)
_COLLATION = re.compile(r"\w*", re.ASCII)
_BARE = re.compile(r"[+-]?\d+(\.\d+)?|true|false|on|off|null|default", re.ASCII | re.IGNORECASE)
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?", re.ASCII)


@dataclass(frozen=True)
class Dsn:
    """Where the database is and how to talk to it.

    `database` is the name of the MySQL schema or the path of the SQLite file; everything below it is MySQL's.
    `host` or else `unix_socket` is set. `session` are variables to set, in order, each value an SQL literal.
    """

    dialect: Dialect
    database: str
    user: str = ""
    password: str = field(default="", repr=False)
    host: str = ""
    port: int = _DEFAULT_PORT
    unix_socket: str = ""
    charset: str = "utf8mb4"
    tls: str = "false"
    connect_timeout: timedelta = DEFAULT_CONNECT_TIMEOUT
    session: tuple[tuple[str, str], ...] = field(default=(), repr=False)


def parse(text: str) -> Dsn:
    """Parse a DSN. Raises ValueError with what is wrong, never with a part of the text."""
    return _sqlite(text) if text.startswith("sqlite:") else _mysql(text)


def _sqlite(text: str) -> Dsn:
    path = text.removeprefix("sqlite:///")
    if path == text or not path:
        raise ValueError("names no file: write sqlite:///relative/path or sqlite:////absolute/path")
    if path == ":memory:" or path.startswith("file:"):
        raise ValueError("must name a file: every connection to a database in memory sees one of its own")
    if "?" in path:
        raise ValueError("takes no parameters after the path of a SQLite file")
    return Dsn(dialect="sqlite", database=path)


def _mysql(text: str) -> Dsn:
    # The reference looks for these very letters before it parses anything.
    if "parseTime=true" not in text:
        raise ValueError(f"must contain parseTime=true, as in {_SHAPE}")
    place, slash, rest = text.rpartition("/")
    if not slash:
        raise ValueError(f'has no "/" before the name of the database: write {_SHAPE}')
    name, _, parameters = rest.partition("?")
    if not name:
        raise ValueError('names no database after its last "/"')
    credentials, _, address = place.rpartition("@")
    user, _, password = credentials.partition(":")
    host, port, unix_socket = _address(address)
    charset, tls, connect_timeout, session = _parameters(parameters)
    return Dsn(
        dialect="mysql",
        database=unquote(name),
        user=user,
        password=password,
        host=host,
        port=port,
        unix_socket=unix_socket,
        charset=charset,
        tls=tls,
        connect_timeout=connect_timeout,
        session=session,
    )


def _address(text: str) -> tuple[str, int, str]:
    """Return host, port and Unix socket of `net(address)`."""
    network, parenthesis, address = text.partition("(")
    if parenthesis and not address.endswith(")"):
        raise ValueError(f'has no ")" that ends the address before its last "/": write {_SHAPE}')
    address = address.removesuffix(")")
    if network == "unix":
        return "", _DEFAULT_PORT, address or "/tmp/mysql.sock"  # noqa: S108 - the driver's own default
    if network not in {"", "tcp"}:
        raise ValueError(f"must give its address as tcp(host:port) or unix(/path/of/socket): write {_SHAPE}")
    return *_host_and_port(address), ""


def _host_and_port(address: str) -> tuple[str, int]:
    if address.startswith("["):
        host, _, port = address[1:].partition("]")
        port = port.removeprefix(":")
    elif address.count(":") > 1:  # a bare IPv6 address
        host, port = address, ""
    else:
        host, _, port = address.partition(":")
    if port and not (port.isascii() and port.isdecimal() and 0 < int(port) <= _LAST_PORT):
        raise ValueError("has a port that is no number from 1 to 65535")
    return host or "127.0.0.1", int(port or _DEFAULT_PORT)


def _parameters(text: str) -> tuple[str, str, timedelta, tuple[tuple[str, str], ...]]:
    """Return charset, TLS mode, connect timeout and session variables. Without `=` it is no parameter, as in Go."""
    pairs = (part.partition("=") for part in text.split("&"))
    given = {name: value for name, equals, value in pairs if equals}
    charset = given.pop("charset", "utf8mb4").split(",")[0]
    if charset not in _CHARSETS:
        raise ValueError("has a charset that cannot hold every text: use utf8mb4")
    tls = _TLS.get(unquote_plus(given.pop("tls", "false")).lower())
    if tls is None:
        raise ValueError("has a tls that is none of true, false, skip-verify and preferred")
    timeout = _duration(given.pop("timeout", "")) or DEFAULT_CONNECT_TIMEOUT
    collation = given.pop("collation", "")
    if not _COLLATION.fullmatch(collation):
        raise ValueError("has a collation that is no name")
    session = [("collation_connection", f"'{collation}'")] if collation else []
    session += [
        (_variable(name), _literal(unquote_plus(value))) for name, value in given.items() if name not in _WITHOUT_EFFECT
    ]
    return charset, tls, timeout, tuple(session)


def _variable(name: str) -> str:
    if not _VARIABLE.fullmatch(name):
        raise ValueError("has a parameter whose name is no session variable's")
    return name


def _literal(value: str) -> str:
    """Write a variable's value as SQL: the driver in Go takes it as SQL text, so strings may come quoted."""
    if _BARE.fullmatch(value):
        return value
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        value = value[1:-1]
    if not value.isprintable() or any(character in value for character in "\\'\""):
        raise ValueError("has a session variable whose value holds quotes, backslashes or control characters")
    return f"'{value}'"


def _duration(text: str) -> timedelta:
    """Read a duration of Go such as `5s`, `1m30s` or `500ms`; an empty text is none."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError("has a timeout that is no duration such as 5s or 500ms")
    hours, minutes, seconds, milliseconds = (float(part or 0) for part in match.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds, milliseconds=milliseconds)
