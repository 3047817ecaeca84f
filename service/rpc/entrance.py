"""Where every call comes in: who calls, and may it. A call that is refused is not read."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextvars import ContextVar
from enum import StrEnum
from typing import Any

import grpc.aio
import structlog

from service.errors import HydraError
from service.rpc.intake import Intake
from service.rpc.parsing import checked
from service.rpc.status import abort
from service.rpc.tokens import Token, Tokens, require

log = structlog.get_logger(__name__)

_LONGEST_LOGGED = 100
_Metadata = Iterable[tuple[str, str | bytes]]

# gRPC runs interceptors and handler of one call in one context, made for that call.
_caller: ContextVar[Token | None] = ContextVar("caller", default=None)


def caller() -> Token | None:
    """Return the token that the present call came with; None where none is asked for."""
    return _caller.get()


class Access(StrEnum):
    """Who may call a service that stands beside ours: anybody, who has a token, or nobody."""

    OPEN = "open"
    AUTHENTICATED = "authenticated"
    OFF = "off"


class Entrance(grpc.aio.ServerInterceptor):  # type: ignore[type-arg] # generic in the stubs alone
    """Lets calls in, or ends them.

    `service` is the one whose calls act; of `others`, by full name, some are open to anybody. Each has its `intakes`.
    """

    def __init__(
        self, service: str, tokens: Tokens, intakes: tuple[Intake, Intake], others: Mapping[str, Access]
    ) -> None:
        self._service = service
        self._tokens = tokens
        self._intake, self._intake_beside = intakes
        self._open = {name for name, access in others.items() if access is Access.OPEN}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        service, _, rpc = handler_call_details.method.removeprefix("/").rpartition("/")
        try:
            self._admit(service, rpc, handler_call_details.invocation_metadata or ())
        except HydraError as error:
            method = ascii(handler_call_details.method[:_LONGEST_LOGGED])[1:-1]
            log.warning("call refused", method=method, reason=error.reason)
            return _refusal(error)
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        if handler.request_streaming:
            return checked(handler)
        return (self._intake if service == self._service else self._intake_beside).of(handler)

    def _admit(self, service: str, rpc: str, metadata: _Metadata) -> None:
        if self._tokens.required and service not in self._open:
            token = self._tokens.find(_authorization(metadata))
            if service == self._service:
                require(token, rpc)
            _caller.set(token)


def _authorization(metadata: _Metadata) -> str | None:
    """Read the one `authorization` of a call; two are none: which of them counted would be chance."""
    given = [value for key, value in metadata if key == "authorization" and isinstance(value, str)]
    return given[0] if len(given) == 1 else None


def _refusal(error: HydraError) -> Any:
    """End a call before its message is read: as a stream, of which nothing is asked for."""

    async def refuse(_: AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[bytes]:
        await abort(error, context)
        yield b""  # never comes to this, but makes it a stream

    return grpc.stream_stream_rpc_method_handler(refuse)
