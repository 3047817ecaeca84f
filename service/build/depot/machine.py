"""The machine that Depot lends to a build, and what it takes to talk to it."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Certificates:
    """What mutual TLS takes, in PEM; `server_name` is the name in the machine's certificate, not its address."""

    server_name: str
    ca_pem: bytes = field(repr=False)
    cert_pem: bytes = field(repr=False)
    key_pem: bytes = field(repr=False)


@dataclass(frozen=True)
class Machine:
    """A BuildKit at `endpoint`, `host:port`. It speaks plain text where Depot gave no certificate (04 · 1.2)."""

    endpoint: str
    certificates: Certificates | None = None


def builder_platform(platform: str) -> str:
    """Name the builder for a platform such as `linux/arm64`, by its architecture."""
    architecture = platform.partition("/")[2] or platform
    is_arm = "arm" in architecture or "aarch" in architecture
    return "BUILDER_PLATFORM_ARM64" if is_arm else "BUILDER_PLATFORM_AMD64"


def read_machine(active: dict[str, Any]) -> Machine:
    """Read an active connection. Raises ValueError, whose text says what it lacks and holds none of it."""
    endpoint = text(active, "endpoint").removeprefix("tcp://")
    host, _, port = endpoint.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError("the machine's endpoint is not host:port")
    cert, key = (text(part(active, "cert"), name).encode() for name in ("cert", "key"))
    ca = text(part(active, "caCert"), "cert").encode()
    if not cert:
        return Machine(endpoint)
    if not key or not ca:
        raise ValueError("the machine's certificate comes without its key or its CA")
    return Machine(endpoint, Certificates(text(active, "serverName") or host, ca, cert, key))


def part(message: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a message inside a message, empty where it is absent."""
    found = message.get(name)
    return found if isinstance(found, dict) else {}


def text(message: dict[str, Any], name: str) -> str:
    """Return a string of a message, empty where it is absent."""
    found = message.get(name)
    return found if isinstance(found, str) else ""
