"""A Restate server's request identity: its key, how it is written, and how it signs.

https://docs.restate.dev/services/security; a request's path counts from `/discover` or `/invoke` on.
"""

import time
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

PEM_VARIABLE = "RESTATE_REQUEST_IDENTITY_PRIVATE_KEY_PEM_FILE"

_DIGITS = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_LEEWAY_S = 60


class IdentityKey:
    """A key that a Restate server may have; `public` is what a worker is told."""

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()
        raw = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.public = "publickeyv1_" + _base58(raw)

    def write(self, path: Path) -> Path:
        path.write_bytes(self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return path

    def signed(self, path: str, *, name: str = "", age_s: int = 0) -> dict[str, str]:
        """Make the headers of a request that the server sent `age_s` ago; `name` is another key to call itself by."""
        now = int(time.time()) - age_s
        claims = {"aud": path, "nbf": now - _LEEWAY_S, "iat": now, "exp": now + _LEEWAY_S}
        token = jwt.encode(claims, self._key, "EdDSA", headers={"kid": name or self.public})
        return {"x-restate-signature-scheme": "v1", "x-restate-jwt-v1": token}


def _base58(raw: bytes) -> str:
    number, digits = int.from_bytes(raw), ""
    while number:
        number, digit = divmod(number, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return "1" * (len(raw) - len(raw.lstrip(b"\0"))) + digits
