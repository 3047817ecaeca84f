"""What a caller shows to a gRPC server, and how it knows the server: a bearer token, and TLS."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import grpc.aio

from service.errors import FailedPrecondition
from service.rpc.address import is_loopback

_OPTIONS = (
    # A proxy from the environment is for the way out, not for a server on the own network.
    ("grpc.enable_http_proxy", 0),
    # A call may wait for as long as a build, and would wait for ever for a server that has gone without a word.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.http2.ping_timeout_ms", 20_000),  # of the two names of it gRPC 1.85 heeds this one
    ("grpc.http2.max_pings_without_data", 0),
)


@dataclass(frozen=True)
class ClientCredentials:
    """The token, and PEM for TLS, which is used with `tls` or a `ca`; `tls` alone trusts the system's authorities.

    `cert` and `key` are the caller's own. `server_name` is what the server's certificate says, where that is not
    the host of its address.
    """

    token: str = field(default="", repr=False)
    tls: bool = False
    ca: bytes | None = None
    cert: bytes | None = None
    key: bytes | None = field(default=None, repr=False)
    server_name: str = ""

    @property
    def uses_tls(self) -> bool:
        return self.tls or self.ca is not None

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Return what goes with every call."""
        return (("authorization", f"Bearer {self.token}"),) if self.token else ()

    def channel(self, address: str) -> grpc.aio.Channel:
        """Make a channel to `host:port`. Raises FailedPrecondition where the token would travel in the clear."""
        if not self.uses_tls:
            if self.token and not is_loopback(address):
                raise FailedPrecondition(
                    f"the token of client.token is not sent to {address} in the clear: set client.tls_ca_file, or "
                    "client.tls = true",
                    reason="TOKEN_NEEDS_TLS",
                )
            return grpc.aio.insecure_channel(address, options=_OPTIONS)
        credentials = grpc.ssl_channel_credentials(self.ca or _system_authorities(), self.key, self.cert)
        names = [("grpc.ssl_target_name_override", self.server_name)] if self.server_name else []
        return grpc.aio.secure_channel(address, credentials, options=[*_OPTIONS, *names])


def _system_authorities() -> bytes | None:
    """Read what OpenSSL trusts here, SSL_CERT_FILE and SSL_CERT_DIR heeded; None leaves it to gRPC's own list."""
    paths = ssl.get_default_verify_paths()
    if paths.cafile:
        return Path(paths.cafile).read_bytes()
    files = Path(paths.capath).glob("*.[0-9]") if paths.capath else ()
    return b"\n".join(file.read_bytes() for file in files if file.is_file()) or None
