"""The GitHub App that this service is, and how it proves that."""

from datetime import timedelta

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from service.github.client import Credential
from service.github.refusals import key_invalid

# GitHub refuses what was issued in its future, and what ends more than 10 minutes from its now (02 · 8).
_ISSUED_BEFORE = timedelta(seconds=60)
_ENDS_AFTER = timedelta(minutes=9)
_KEY_BITS = 2048  # GitHub's own keys


class GitHubApp:
    """An App's id and its private key (PEM, PKCS #1 or PKCS #8). Raises FailedPrecondition for any other key."""

    def __init__(self, app_id: int, private_key_pem: str) -> None:
        self.app_id = app_id
        self._key = _load(private_key_pem)

    def credential(self, now_ms: int) -> Credential:
        """Sign a JSON web token that is good for a few minutes from `now_ms`."""
        now = now_ms // 1000
        claims = {
            "iat": now - int(_ISSUED_BEFORE.total_seconds()),
            "exp": now + int(_ENDS_AFTER.total_seconds()),
            "iss": str(self.app_id),
        }
        return Credential("the app", jwt.encode(claims, self._key, algorithm="RS256"))


def _load(pem: str) -> RSAPrivateKey:
    # A variable of the environment often holds the key in one line; a key itself has no backslash.
    spelled_out = pem.replace("\\n", "\n").encode(errors="replace")
    try:
        key = load_pem_private_key(spelled_out, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: it has a password
        raise key_invalid("is not a private key in PEM without a password") from None
    if not isinstance(key, RSAPrivateKey):
        raise key_invalid("is not an RSA key")
    if key.key_size < _KEY_BITS:
        raise key_invalid(f"has fewer than {_KEY_BITS} bits")
    return key
