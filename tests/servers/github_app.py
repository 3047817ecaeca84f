"""What a fake GitHub knows of an App: its key, where it is installed, and the tokens it was given."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.servers.github_repository import Repository

_JWT_LONGEST_S = 600


@cache
def _private_key() -> RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass
class App:
    """What the operator pastes into the configuration; the key is PKCS #1, as GitHub gives it.

    The `slug` is the name of its bot, which its owner may change.
    """

    app_id: int
    private_key_pem: str = field(repr=False)
    slug: str = "hydra"

    @classmethod
    def create(cls) -> "App":
        pem = _private_key().private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        return cls(4711, pem.decode())

    def refusal(self, assertion: str, now_ms: int) -> tuple[int, str] | None:
        """Check a JSON web token as GitHub does; its status and words, or None where the App has proven itself."""
        try:
            claims: dict[str, Any] = jwt.decode(
                assertion,
                _private_key().public_key(),
                algorithms=["RS256"],
                options={"verify_exp": False, "verify_iat": False, "require": ["iss", "iat", "exp"]},
            )
        except jwt.InvalidTokenError:
            return 401, "A JSON web token could not be decoded"
        now_s = now_ms // 1000
        if claims["iat"] > now_s:
            return 401, "'Issued at' claim ('iat') must be an Integer representing the time the assertion was issued"
        if claims["exp"] <= now_s:
            return 401, "'Expiration time' claim ('exp') must be a numeric value representing the future time"
        if claims["exp"] > now_s + _JWT_LONGEST_S:
            return 401, "'Expiration time' claim ('exp') is too far in the future"
        return None if claims["iss"] == str(self.app_id) else (404, "Integration not found")


def _default_permissions() -> dict[str, str]:
    return {"contents": "read", "metadata": "read", "deployments": "write", "pull_requests": "write"}


@dataclass
class Installation:
    """The App on one account. It covers all of the account's repositories, or those of `only` (full names)."""

    installation_id: int
    owner: str
    only: set[str] | None = None
    permissions: dict[str, str] = field(default_factory=_default_permissions)
    suspended: bool = False

    def covers(self, full_name: str) -> bool:
        return full_name.partition("/")[0] == self.owner and (self.only is None or full_name in self.only)


@dataclass(frozen=True)
class Token:
    """An installation token. Without `repository_ids` it is for all that the installation covers."""

    installation: Installation
    permissions: dict[str, str]
    repository_ids: frozenset[int] | None
    ends_at_ms: int

    def allows(self, repository: Repository, permission: str, level: str = "read") -> bool:
        """Tell whether it is good for that much of a repository."""
        given = self.permissions.get(permission)
        if given is None or (level == "write" and given == "read"):
            return False
        chosen = self.repository_ids is None or repository.repository_id in self.repository_ids
        return chosen and self.installation.covers(repository.full_name)


@dataclass
class Tokens:
    """The tokens that were given and not taken back, and how long they last."""

    now_ms: Callable[[], int]
    lifetime_ms: int = 3_600_000
    given: dict[str, Token] = field(default_factory=dict, repr=False)

    def find(self, value: str) -> Token | None:
        """Return a token that is still good."""
        token = self.given.get(value)
        if token is None or token.ends_at_ms <= self.now_ms() or token.installation.suspended:
            return None
        return token

    def revoke(self) -> None:
        """Take back all tokens, as when the App's key is changed in a hurry."""
        self.given.clear()
