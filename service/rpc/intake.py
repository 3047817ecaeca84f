"""How calls that act are taken in: a place first, then the message, few of them at a time and none for long."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import grpc.aio
import structlog
from google.protobuf.message import DecodeError, Message

from service.errors import HydraError, InvalidArgument, Transient
from service.rpc.limits import Places
from service.rpc.parsing import malformed
from service.rpc.status import abort

log = structlog.get_logger(__name__)

_Context = grpc.aio.ServicerContext[Any, Any]

# While a message is read it is here several times over: in gRPC's buffers, as bytes, and parsed.
_READ_AT_ONCE = 16


class Intake:
    """Serves rpcs of one message as streams of one, which leaves it to us when that is read."""

    def __init__(self, places: Places, read_within: timedelta) -> None:
        self._places = places
        self._read_within = read_within
        self._turns = asyncio.Semaphore(_READ_AT_ONCE)

    def of(self, handler: Any) -> Any:
        """Return a handler that does what `handler` does; one that gets no place reads nothing.

        Where it answers with a stream, it writes that to its context.
        """
        act = handler.unary_unary or handler.unary_stream

        async def serve(_: Any, context: _Context) -> None:
            try:
                with self._places.one():
                    answer = await act(await self._message(context), context)
            except HydraError as error:
                log.warning("call refused", reason=error.reason)
                await abort(error, context)
            if answer is not None:
                await context.write(answer)

        parse = _known_fields(handler.request_deserializer)
        return grpc.stream_stream_rpc_method_handler(serve, parse, handler.response_serializer)

    async def _message(self, context: _Context) -> Message:
        """Read the message. Raises InvalidArgument where there is none, Transient where it does not come in time."""
        try:
            # The turn is waited for within that time, too: else many who are late would be late one after another.
            async with asyncio.timeout(self._read_within.total_seconds()), self._turns:
                # A task of its own that is never cancelled: gRPC would go on to fill what is no longer there
                # (grpc/grpc#43360). It ends with the call.
                reading = asyncio.ensure_future(context.read())
                reading.add_done_callback(_look_at)
                await asyncio.wait({reading})
        except TimeoutError:
            raise Transient("the message did not arrive in time: try again", reason="MESSAGE_LATE") from None
        try:
            message = reading.result()
        except DecodeError:
            raise malformed() from None
        except grpc.aio.InternalError:
            message = None  # gRPC has ended the call by itself, such as for a message above the bound
        if not isinstance(message, Message):  # the end of the stream
            raise _nothing_came()
        return message


def _nothing_came() -> HydraError:
    return InvalidArgument("the call has no message", field="message", reason="MESSAGE_MISSING")


def _look_at(reading: asyncio.Future[Any]) -> None:
    """Take note of how a read ended that nobody waits for any more, else asyncio complains."""
    if not reading.cancelled():
        reading.exception()


def _known_fields(parse: Callable[[bytes], Message]) -> Callable[[bytes], Message]:
    """Parse without the fields that are not known, which may be large: requests are held while their calls wait."""

    def parse_known(raw: bytes) -> Message:
        message = parse(raw)
        message.DiscardUnknownFields()
        return parse(message.SerializeToString())  # of the first one, what was discarded stays in memory

    return parse_known
