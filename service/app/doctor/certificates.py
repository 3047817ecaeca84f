"""The certificates that the configuration names: whether they can be read, and until when they hold."""

from collections.abc import Iterator
from pathlib import Path

from cryptography import x509

from service.app.doctor.checks import SOON_MS, Finding, Part
from service.clock import now_ms
from service.config import Settings


def certificates(part: Part, settings: Settings) -> Iterator[Finding]:
    """Look at every certificate in every file that is named; nothing where none is."""
    files = {
        "grpc.tls_cert_file": settings.grpc.tls_cert_file,
        "grpc.tls_client_ca_file": settings.grpc.tls_client_ca_file,
        "client.tls_ca_file": settings.client.tls_ca_file,
        "client.tls_cert_file": settings.client.tls_cert_file,
        "build.tls_ca_file": settings.build.tls_ca_file,
        "build.tls_cert_file": settings.build.tls_cert_file,
    }
    for key, path in files.items():
        if path:
            yield _examine(part, key, Path(path))


def _examine(part: Part, key: str, path: Path) -> Finding:
    """Judge a chain by the certificate in it that ends first, and authorities by the one that ends last."""
    try:
        held = x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        return part.fault(key, f"{path} cannot be read: {error.strerror}", "look where, and as whom, the service runs")
    except ValueError:
        return part.fault(key, f"{path} holds no certificate in PEM", f"name a file with PEM certificates in {key}")
    ends = (max if key.endswith("_ca_file") else min)(each.not_valid_after_utc for each in held)
    left_ms = ends.timestamp() * 1000 - now_ms()
    if left_ms <= 0:
        return part.fault(key, f"{path} has expired on {ends:%Y-%m-%d}", "renew it: nobody who checks takes it")
    if left_ms < SOON_MS:
        return part.warning(key, f"{path} expires on {ends:%Y-%m-%d}", "renew it before")
    return part.ok(key, f"{path} holds until {ends:%Y-%m-%d}")
