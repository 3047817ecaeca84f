"""The value types of configuration keys: how a text becomes a value, or what is wrong with it.

Messages quote a value only where a value of that type cannot hold a secret: never a whole URL or DSN.
"""

import re
from datetime import timedelta
from fractions import Fraction
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr

from service.analytics.dsn import parse as parse_clickhouse
from service.database.dsn import parse as parse_dsn

# Go's time.ParseDuration: https://pkg.go.dev/time#ParseDuration
_MICROSECONDS = {
    "ns": Fraction(1, 1000),
    "us": Fraction(1),
    "µs": Fraction(1),
    "μs": Fraction(1),
    "ms": Fraction(1000),
    "s": Fraction(1_000_000),
    "m": Fraction(60_000_000),
    "h": Fraction(3_600_000_000),
}
_TERM = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_LONGEST_DOMAIN = 253  # RFC 1035
_LAST_PORT = 65535


def parse_duration(text: str) -> timedelta:
    """Parse a Go duration such as `1h30m` or `500ms`, rounded to microseconds. Raises ValueError."""
    sign, body = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if body == "0":
        return timedelta()
    terms = list(_TERM.finditer(body))
    if not terms or "".join(term.group() for term in terms) != body:
        raise ValueError(f'is not a duration such as "30s", "1h30m" or "500ms" (got {text[:40]!r})')
    microseconds = sum(Fraction(term[1].rstrip(".")) * _MICROSECONDS[term[2]] for term in terms)
    try:
        return timedelta(microseconds=sign * round(microseconds))
    except OverflowError:
        raise ValueError(f"is too long a duration (got {text[:40]!r})") from None


def format_duration(value: timedelta) -> str:
    """Write a duration, not negative, as Go accepts it: `15m`, `1h30m`, `100ms`."""
    rest = value // timedelta(microseconds=1)
    parts = []
    for unit in ("h", "m", "s", "ms", "us"):
        count, rest = divmod(rest, int(_MICROSECONDS[unit]))
        parts.append(f"{count}{unit}" if count else "")
    return "".join(parts) or "0s"


def duration(shortest: timedelta, longest: timedelta) -> BeforeValidator:
    """Make the validator of a duration key: a Go duration within the bounds, both included."""

    def check(value: object) -> timedelta:
        if isinstance(value, str):
            value = parse_duration(value)
        if not isinstance(value, timedelta):
            raise ValueError(f'must be a duration in quotes, such as "30s" (got {str(value)[:40]})')  # noqa: TRY004 - pydantic collects ValueErrors only
        if not shortest <= value <= longest:
            bounds = f"{format_duration(shortest)} and {format_duration(longest)}"
            raise ValueError(f"must lie between {bounds} (got {_signed(value)})")
        return value

    return BeforeValidator(check)


def _signed(value: timedelta) -> str:
    return f"-{format_duration(-value)}" if value < timedelta() else format_duration(value)


def _http_url(text: str) -> str:
    try:
        url = urlsplit(text)
        bad = url.scheme not in {"http", "https"} or not url.hostname or url.port == 0
    except ValueError:
        bad = True
    if bad:
        raise ValueError("must be an address such as http://host:port")
    if url.username is not None or url.query or url.fragment:
        raise ValueError("must be an address without user, query or fragment")
    return text.rstrip("/")


def _domain(text: str) -> str:
    if len(text) > _LONGEST_DOMAIN or not _DOMAIN.fullmatch(text):
        raise ValueError(f"must be a domain such as example.com, no scheme, port or path (got {text[:80]!r})")
    return text.lower()


def _listen(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not re.fullmatch(r"\d{1,5}", port, re.ASCII) or int(port) > _LAST_PORT:
        raise ValueError(f"must be host:port, such as 127.0.0.1:9090 or [::]:9090 (got {text[:80]!r})")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise ValueError(f"needs brackets round an IPv6 address, such as [::1]:9090 (got {text[:80]!r})")
    return text


def _platform(text: str) -> str:
    if not re.fullmatch(r"/?linux/[A-Za-z0-9_-]+", text, re.ASCII):
        raise ValueError(f"must be linux/<architecture>, such as linux/amd64 (got {text[:80]!r})")
    return text.removeprefix("/")


def _dsn(secret: SecretStr) -> SecretStr:
    parse_dsn(secret.get_secret_value())
    return secret


def _clickhouse(secret: SecretStr) -> SecretStr:
    parse_clickhouse(secret.get_secret_value())
    return secret


def _builder_address(text: str) -> str:
    if text and not re.fullmatch(r"(unix|docker)://(/[^\s]+)|tcp://[^\s/@:]+:\d{1,5}", text, re.ASCII):
        raise ValueError("must be unix:///path, tcp://host:port or docker:///path/to/docker.sock")
    return text


def _networks(value: object) -> object:
    """Read a list of networks; the environment spells one as a text with commas."""
    listed = value.split(",") if isinstance(value, str) else value
    if not isinstance(listed, list | tuple):
        raise ValueError('must be a list of networks such as ["10.0.0.0/8"]')  # noqa: TRY004 - pydantic collects ValueErrors only
    return tuple(_network(each) for each in listed if each != "")


def _network(value: object) -> IPv4Network | IPv6Network:
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    try:
        return ip_network(str(value).strip())
    except ValueError:
        raise ValueError(f'holds what is not a network such as "10.0.0.0/8" (got {str(value)[:40]!r})') from None


BuilderAddress = Annotated[str, AfterValidator(_builder_address)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
Domain = Annotated[str, AfterValidator(_domain)]
ListenAddress = Annotated[str, AfterValidator(_listen)]
Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], BeforeValidator(_networks)]
Platform = Annotated[str, AfterValidator(_platform)]
DatabaseDsn = Annotated[SecretStr, AfterValidator(_dsn)]
ClickhouseUrl = Annotated[SecretStr, AfterValidator(_clickhouse)]
