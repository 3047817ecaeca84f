"""The text that says where ClickHouse is: the reference's `clickhouse://` URL (03 · 4.5), or a plain HTTP one.

Messages never quote the text: where it is malformed, any part of it may be the password.
"""

from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

_SHAPE = "clickhouse://user:password@host:port/database"
_SECURE_BY_SCHEME = {"clickhouse": None, "http": False, "https": True}

# https://clickhouse.com/docs/guides/sre/network-ports
_HTTP_PORT = 8123
_HTTPS_PORT = 8443
_NATIVE_PORTS = frozenset({None, 9000, 9440})

# What Go's strconv.ParseBool takes; the reference's driver takes a name without a value for true.
_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True", ""), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}


@dataclass(frozen=True)
class ClickHouseDsn:
    """Where ClickHouse is and how to talk to it: over HTTP, so `port` is that of HTTP.

    `secure` asks for TLS, `verify` for a certificate that can be trusted.
    """

    host: str
    port: int
    user: str = "default"
    password: str = field(default="", repr=False)
    database: str = "default"
    secure: bool = False
    verify: bool = True


def parse(text: str) -> ClickHouseDsn:
    """Parse a URL. Raises ValueError with what is wrong, never with a part of the text.

    The native protocol's ports of a `clickhouse://` URL, 9000 and 9440, stand for those of HTTP, 8123 or, with
    `secure`, 8443; any other port is taken as it is. Parameters but `secure` and `skip_verify` have no effect.
    """
    url = _split(text)
    given = dict(reversed(parse_qsl(url.query, keep_blank_values=True)))  # the first of a name counts, as in Go
    secure = _secure(url.scheme, given)
    native = url.scheme == "clickhouse" and url.port in _NATIVE_PORTS
    standard = _HTTPS_PORT if secure else _HTTP_PORT
    return ClickHouseDsn(
        host=url.hostname or "",
        port=standard if native else url.port or standard,
        user=unquote(url.username or "") or "default",
        password=unquote(url.password or ""),
        database=unquote(url.path[1:]) or "default",
        secure=secure,
        verify=not _boolean(given, "skip_verify", default=False),
    )


def _split(text: str) -> SplitResult:
    url = _understood(text)
    if url is None or url.scheme not in _SECURE_BY_SCHEME:
        raise ValueError(f"must be a URL that begins with clickhouse://, http:// or https://: write {_SHAPE}")
    # A password's own "/", "?" or "#" ends the host early, and what is left of the password lies behind it.
    if url.fragment or ("@" in f"{url.path}{url.query}" and "@" not in url.netloc):
        raise ValueError('has a "/", "?" or "#" in its user or password: write %2F, %3F or %23')
    if "," in url.netloc.rpartition("@")[2]:
        raise ValueError("names several servers: name one")
    if not url.hostname:
        raise ValueError(f"names no host: write {_SHAPE}")
    if not _has_fair_port(url):
        raise ValueError("has a port that is no number from 1 to 65535")
    if "/" in url.path[1:]:
        raise ValueError(f'has a "/" behind the name of the database: write {_SHAPE}')
    return url


def _understood(text: str) -> SplitResult | None:
    with suppress(ValueError):  # its words may quote the text
        return urlsplit(text)
    return None


def _has_fair_port(url: SplitResult) -> bool:
    with suppress(ValueError):  # as above
        return url.port != 0
    return False


def _secure(scheme: str, given: dict[str, str]) -> bool:
    by_scheme = _SECURE_BY_SCHEME[scheme]
    secure = _boolean(given, "secure", default=bool(by_scheme))
    if by_scheme is not None and secure != by_scheme:
        raise ValueError("has a secure that says other than its http:// or https://")
    return secure


def _boolean(given: dict[str, str], name: str, *, default: bool) -> bool:
    value = _BOOLEANS.get(given[name]) if name in given else default
    if value is None:
        raise ValueError(f"has a {name} that is neither true nor false")
    return value
