"""Who calls: with which token, over which connection, and what is answered."""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeAlias

import grpc.aio
from google.rpc import error_details_pb2, status_pb2

from tests.servers.certificates import Authority, Pair

_CALL_SECONDS = 30

Metadata: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Secret:
    """A token: its text, which a caller has, and the table of the configuration, which the server has."""

    name: str
    role: str
    text: str
    expires: str = ""

    @property
    def digest(self) -> str:
        return sha256(self.text.encode()).hexdigest()

    @property
    def table(self) -> str:
        expires = f"expires = {self.expires}\n" if self.expires else ""
        return f'[[grpc.tokens]]\nname = "{self.name}"\nrole = "{self.role}"\nsha256 = "{self.digest}"\n{expires}'

    @property
    def metadata(self) -> Metadata:
        return bearer(self.text)


DEPLOYER = Secret("pipeline", "deploy", "hydra_deployers-own-token")
OPERATOR = Secret("night-shift", "operate", "hydra_operators-own-token")
READER = Secret("dashboard", "read", "hydra_readers-own-token")
LATE = Secret("long-ago", "operate", "hydra_token-of-long-ago", "2020-02-02")


def bearer(text: str) -> Metadata:
    return (("authorization", f"Bearer {text}"),)


def tables(secrets: Iterable[Secret]) -> str:
    return "".join(secret.table for secret in secrets)


@dataclass(frozen=True)
class Answer:
    """A status, and the reason in its details."""

    code: str
    reason: str = ""


OK = Answer("OK")
MISSING = Answer("UNAUTHENTICATED", "TOKEN_MISSING")
UNKNOWN = Answer("UNAUTHENTICATED", "TOKEN_UNKNOWN")
EXPIRED = Answer("UNAUTHENTICATED", "TOKEN_EXPIRED")
FORBIDDEN = Answer("PERMISSION_DENIED", "ROLE_INSUFFICIENT")
NO_CONNECTION = Answer("UNAVAILABLE")
NO_SUCH_METHOD = Answer("UNIMPLEMENTED")
# What an empty message gets that was let in.
LET_IN = Answer("INVALID_ARGUMENT", "INVALID_ARGUMENT")


async def ask(channel: grpc.aio.Channel, path: str, metadata: Metadata = (), message: bytes = b"") -> Answer:
    """Call any method with one message, and look at its first answer alone."""
    call: Any = channel.unary_stream(path, None, None)(message, metadata=metadata, timeout=_CALL_SECONDS)
    try:
        await anext(aiter(call))
    except grpc.aio.AioRpcError as error:
        return answer_of(error)
    call.cancel()
    return OK


def answer_of(error: grpc.aio.AioRpcError) -> Answer:
    trailing: Any = error.trailing_metadata()
    info = error_details_pb2.ErrorInfo()
    details = status_pb2.Status.FromString(trailing.get("grpc-status-details-bin", b"")).details
    return Answer(error.code().name, info.reason if details and details[0].Unpack(info) else "")


def trusting(authority: Authority, pair: Pair | None = None) -> grpc.ChannelCredentials:
    """Make the credentials of a client."""
    if pair is None:
        return grpc.ssl_channel_credentials(authority.cert)
    return grpc.ssl_channel_credentials(authority.cert, pair.key, pair.cert)


def connect(target: str, credentials: grpc.ChannelCredentials | None = None) -> grpc.aio.Channel:
    """Open a connection that no other channel shares; with credentials, to a server that is called localhost."""
    options = (("grpc.use_local_subchannel_pool", 1), ("grpc.ssl_target_name_override", "localhost"))
    if credentials is None:
        return grpc.aio.insecure_channel(target, options[:1])
    return grpc.aio.secure_channel(target, credentials, options)
