"""Certificates for tests: an authority of their own, and what it signs."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFE = timedelta(days=1)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, in PEM."""

    cert: bytes
    key: bytes = field(repr=False)


class Authority:
    """Signs certificates; `cert` is its own, in PEM."""

    def __init__(self, name: str = "tests", life: timedelta = _LIFE) -> None:
        """Make one whose certificates, its own among them, end after `life`: a negative one is over."""
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        self._life = life
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        own = _certificate(self._name, self._key.public_key(), life).issuer_name(self._name)
        self.cert = _pem(own.add_extension(constraints, critical=True).sign(self._key, hashes.SHA256()))

    def server(self, name: str) -> Pair:
        """Make a pair for a server that is called `name`, and nothing else."""
        return self._sign(name, ExtendedKeyUsageOID.SERVER_AUTH)

    def client(self, name: str = "client") -> Pair:
        return self._sign(name, ExtendedKeyUsageOID.CLIENT_AUTH)

    def _sign(self, name: str, usage: x509.ObjectIdentifier) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _certificate(_name(name), key.public_key(), self._life)
            .issuer_name(self._name)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return Pair(_pem(certificate), key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _certificate(subject: x509.Name, key: ec.EllipticCurvePublicKey, life: timedelta) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - max(_LIFE, -2 * life))
        .not_valid_after(now + life)
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)
