"""Addresses of gRPC servers, written `host:port`: what they say about where a server is."""

from ipaddress import ip_address


def target_of(listen: str) -> str:
    """Return where to reach a server on this machine that listens on `host:port`."""
    host, _, port = listen.rpartition(":")
    return f"127.0.0.1:{port}" if host in ("0.0.0.0", "[::]", "") else listen  # noqa: S104 - compared, not bound


def is_loopback(address: str) -> bool:
    """Tell whether only this machine can be at `host:port`; not of a name that has to be looked up, but localhost."""
    host = address.rpartition(":")[0].removeprefix("[").removesuffix("]")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
