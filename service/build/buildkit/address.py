"""Where a daemon listens, and what it takes to be let in."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self
from urllib.parse import urlsplit


class Scheme(StrEnum):
    UNIX = "unix"
    TCP = "tcp"
    DOCKER = "docker"


@dataclass(frozen=True)
class Address:
    """A daemon's address; `place` is host:port for tcp, else the path of a socket."""

    scheme: Scheme
    place: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `unix:///path`, `tcp://host:port`, or `docker:///path` for the BuildKit inside a dockerd.

        Raises ValueError, which names what is wrong.
        """
        prefix, _, place = text.partition("://")
        try:
            scheme = Scheme(prefix)
        except ValueError:
            raise ValueError(f"{text!r} begins with none of unix://, tcp:// and docker://") from None
        if scheme is Scheme.TCP:
            if not _is_host_and_port(place):
                raise ValueError(f"{text!r} is not of the form tcp://host:port")
        elif not place.startswith("/"):
            raise ValueError(f"{text!r} names no absolute path, as {scheme}:///run/daemon.sock does")
        return cls(scheme, place)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.place}"


@dataclass(frozen=True)
class Tls:
    """Mutual TLS, all of it in PEM; `server_name` is what the daemon's certificate is made out to."""

    ca: bytes
    cert: bytes
    key: bytes = field(repr=False)
    server_name: str


def _is_host_and_port(place: str) -> bool:
    try:
        parts = urlsplit(f"//{place}")
        return parts.netloc == place and "@" not in place and bool(parts.hostname) and bool(parts.port)
    except ValueError:  # a port that is no number, or too large a one
        return False
