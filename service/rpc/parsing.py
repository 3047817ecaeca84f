"""Messages that are none: the caller's fault, and not an exception of ours, which gRPC would log with a traceback."""

from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import grpc.aio
from google.protobuf.message import DecodeError, Message

from service.errors import HydraError, InvalidArgument
from service.rpc.status import abort

M = TypeVar("M", bound=Message)

_Context = grpc.aio.ServicerContext[Any, Any]


def parse(raw: bytes, parser: Callable[[bytes], M]) -> M:
    """Parse a message. Raises InvalidArgument."""
    try:
        return parser(raw)
    except DecodeError:
        raise malformed() from None


def malformed() -> HydraError:
    return InvalidArgument(
        "the message is not a protobuf of this rpc's request", field="message", reason="MESSAGE_MALFORMED"
    )


def checked(handler: Any) -> Any:
    """Return a handler of any kind but stream-unary that does what `handler` does, its messages parsed here."""
    parser, serializer = handler.request_deserializer, handler.response_serializer

    async def unary(raw: bytes, context: _Context) -> Any:
        try:
            message = parse(raw, parser)
        except HydraError as error:
            await abort(error, context)
        return await (handler.unary_unary or handler.unary_stream)(message, context)

    async def stream(raws: AsyncIterator[bytes], context: _Context) -> AsyncIterator[Any]:
        messages = (parse(raw, parser) async for raw in raws)
        try:
            async for answer in handler.stream_stream(messages, context):
                yield answer
        except HydraError as error:
            await abort(error, context)

    if handler.request_streaming:
        return grpc.stream_stream_rpc_method_handler(stream, None, serializer)
    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler(unary, None, serializer)
    return grpc.unary_unary_rpc_method_handler(unary, None, serializer)
