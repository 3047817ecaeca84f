"""Who may call what: bearer tokens, known by their hashes, and their roles."""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256

from service.clock import now_ms
from service.errors import PermissionDenied, Unauthenticated

_SCHEME = "bearer"
_LONGEST_RPC = 50  # it is the caller's word, and need not be one of ours


class Role(StrEnum):
    """What a token is good for: DEPLOY for Deploy alone, OPERATE for every rpc, READ for none that acts.

    Each is good for health and reflection.
    """

    DEPLOY = "deploy"
    OPERATE = "operate"
    READ = "read"


@dataclass(frozen=True)
class Token:
    """A token as the configuration has it: `sha256` is the hash of its text; valid until `expires_ms`, if any.

    A plain hash will do: tokens are drawn, with 256 bits of chance, and there is nothing to guess.
    """

    name: str
    role: Role
    sha256: bytes = field(repr=False)
    expires_ms: int | None = None


class Tokens:
    """The tokens of a server. Once it had any, it asks for one, whatever becomes of the list."""

    def __init__(self, tokens: Iterable[Token] = ()) -> None:
        self._tokens: tuple[Token, ...] = ()
        self.required = False
        self.replace(tokens)

    def replace(self, tokens: Iterable[Token]) -> None:
        """Take up a new list; calls that were let in go on."""
        self._tokens = tuple(tokens)
        self.required = self.required or bool(self._tokens)

    def find(self, authorization: str | None) -> Token:
        """Find the token in a call's `authorization`. Raises Unauthenticated, saying nothing of what was sent."""
        scheme, _, text = (authorization or "").partition(" ")
        if scheme.lower() != _SCHEME or not text:
            raise Unauthenticated(
                "this call needs a token: send the metadata `authorization: Bearer <token>`", reason="TOKEN_MISSING"
            )
        found = self._known(sha256(text.strip().encode(errors="surrogateescape")).digest())
        if found is None:
            raise Unauthenticated("this server knows no such token", reason="TOKEN_UNKNOWN")
        if found.expires_ms is not None and found.expires_ms <= now_ms():
            raise Unauthenticated(f"the token {found.name!r} has expired", reason="TOKEN_EXPIRED")
        return found

    def _known(self, digest: bytes) -> Token | None:
        found = None
        for token in self._tokens:  # all of them, so that the time tells nothing
            if hmac.compare_digest(token.sha256, digest):
                found = token
        return found


def require(token: Token, rpc: str) -> None:
    """Check that a token is good for an rpc of DeployService. Raises PermissionDenied."""
    if token.role is Role.OPERATE or (token.role is Role.DEPLOY and rpc == "Deploy"):
        return
    called = rpc[:_LONGEST_RPC]
    raise PermissionDenied(
        f"the token {token.name!r} has the role {token.role.value!r}, which is not good for {called}",
        reason="ROLE_INSUFFICIENT",
        role=token.role.value,
        rpc=called,
    )
