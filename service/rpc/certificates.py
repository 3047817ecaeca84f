"""The gRPC server's certificate, and the authority of its clients: read from files, and again when they change."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from service.errors import FailedPrecondition


@dataclass(frozen=True)
class TlsFiles:
    """PEM files: the server's chain and key, and the authority that signs clients; empty for any client."""

    cert: str
    key: str
    client_ca: str = ""

    def read(self) -> tuple[bytes, bytes, bytes | None]:
        """Read chain, key and authority, and check that they fit.

        Raises FailedPrecondition, which names the key of the configuration.
        """
        chain, key = _bytes_of(self.cert, "grpc.tls_cert_file"), _bytes_of(self.key, "grpc.tls_key_file")
        authority = _bytes_of(self.client_ca, "grpc.tls_client_ca_file") if self.client_ca else None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self.cert, self.key, password=_no_password)
        except (ssl.SSLError, ValueError, OSError):
            raise _unusable("grpc.tls_cert_file and grpc.tls_key_file are no certificate and its key in PEM") from None
        if not isinstance(load_pem_private_key(key, None), RSAPrivateKey | EllipticCurvePrivateKey):
            raise _unusable("grpc.tls_key_file is of a kind that gRPC cannot use: make an RSA or ECDSA key")
        if authority is not None:
            try:
                context.load_verify_locations(cadata=authority.decode("ascii", "ignore"))
            except (ssl.SSLError, ValueError):
                raise _unusable("grpc.tls_client_ca_file is no certificate in PEM") from None
        return chain, key, authority


def _no_password() -> str:
    raise ValueError("a key with a password cannot be used")  # else OpenSSL would ask for it on the terminal


def _bytes_of(path: str, key: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise _unusable(f"{key} names a file that cannot be read: {error.strerror}") from None


def _unusable(message: str) -> FailedPrecondition:
    return FailedPrecondition(message, reason="CERTIFICATE_UNUSABLE")


class Certificates:
    """What each new connection is shown; connections that are open keep what they were shown."""

    def __init__(self, files: TlsFiles) -> None:
        """Read the files. Raises FailedPrecondition."""
        self.files = files
        self._contents = files.read()
        self._fresh: grpc.ServerCertificateConfiguration | None = None

    @property
    def verifies_clients(self) -> bool:
        return bool(self.files.client_ca)

    def credentials(self) -> grpc.ServerCredentials:
        """Make the credentials of a port."""
        return grpc.dynamic_ssl_server_credentials(
            _configuration(self._contents),
            self._next,  # type: ignore[arg-type] # the stubs leave out that None keeps what there is
            require_client_authentication=self.verifies_clients,
        )

    def refresh(self) -> bool:
        """Read the files again; tell whether they changed. Raises FailedPrecondition, and keeps what there was."""
        contents = self.files.read()
        if contents == self._contents:
            return False
        self._contents = contents
        self._fresh = _configuration(contents)
        return True

    def _next(self) -> grpc.ServerCertificateConfiguration | None:
        """Hand over what is new, once; gRPC asks at every handshake, from a thread of its own."""
        fresh, self._fresh = self._fresh, None
        return fresh


def _configuration(contents: tuple[bytes, bytes, bytes | None]) -> grpc.ServerCertificateConfiguration:
    chain, key, authority = contents
    return grpc.ssl_server_certificate_configuration([(key, chain)], root_certificates=authority)
