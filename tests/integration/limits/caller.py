"""A client with a connection of its own, and what came of its calls."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import grpc.aio
from google.rpc import error_details_pb2, status_pb2
from hydra.v1 import deploy_pb2

from service.rpc.call import INVOCATION_ID
from service.rpc.status import DETAILS_KEY
from tests.installation import deploy_request
from tests.integration.limits.wire import DEPLOY

_TIMEOUT_SECONDS = 110  # a test's own is 120
_UNKNOWN_FIELD = b"\xa2\x06"  # number 100, with a length

Metadata: TypeAlias = tuple[tuple[str, str], ...]
SUBMIT: Metadata = (("x-hydra-mode", "submit"),)


@dataclass(frozen=True)
class Outcome:
    """A call's status, and what its details say."""

    code: str
    reason: str = ""
    retry_after_ms: int | None = None


OK = Outcome("OK")
FULL = Outcome("RESOURCE_EXHAUSTED", "TOO_MANY_CALLS", 1000)


class Call:
    """One Deploy, read as a stream of one answer: the same on the wire, but its acceptance can be seen."""

    def __init__(self, call: Any) -> None:
        self._call = call

    async def accepted(self) -> str:
        """Wait until the server has handed it over; return the invocation's id, empty where it did not."""
        metadata = await self._call.initial_metadata()
        return str(dict(metadata or ()).get(INVOCATION_ID, ""))

    async def outcome(self) -> Outcome:
        """Wait for the end, which comes only to who reads the answer."""
        with suppress(grpc.aio.AioRpcError):
            async for _ in self._call:
                pass
        code: grpc.StatusCode = await self._call.code()
        trailing = dict(await self._call.trailing_metadata() or ())
        status = status_pb2.Status.FromString(trailing.get(DETAILS_KEY, b""))
        info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        found = {
            message.DESCRIPTOR.name for message in (info, retry) for each in status.details if each.Unpack(message)
        }
        delay = retry.retry_delay.ToMilliseconds() if "RetryInfo" in found else None
        return Outcome(code.name, info.reason, delay)

    def cancel(self) -> None:
        self._call.cancel()


class Caller:
    def __init__(self, address: str) -> None:
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_metadata_size", 1024 * 1024)]
        self.channel = grpc.aio.insecure_channel(address, options)
        self._deploy = self.channel.unary_stream(DEPLOY, None, deploy_pb2.DeployResponse.FromString)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.channel.close(None)

    def deploy(
        self, message: bytes, metadata: Metadata = (), *, timeout: float = _TIMEOUT_SECONDS, gzip: bool = False
    ) -> Call:
        """Begin a call with the bytes of a DeployRequest."""
        compression = grpc.Compression.Gzip if gzip else None
        return Call(self._deploy(message, timeout=timeout, metadata=metadata, compression=compression))

    async def wait(self, message: bytes, count: int = 1) -> list[Call]:
        """Begin calls that wait for the end of a deploy, and return once all are accepted.

        Where there is no place they are made again: a place that a client gave up is free a moment later.
        """
        return list(await asyncio.gather(*(self._placed(message) for _ in range(count))))

    async def _placed(self, message: bytes) -> Call:
        while not await (call := self.deploy(message)).accepted():
            assert await call.outcome() == FULL
        return call

    async def served(self, message: bytes, metadata: Metadata = ()) -> None:
        """Call, again where there is no place, until it is answered."""
        while (outcome := await self.deploy(message, metadata).outcome()) == FULL:
            pass
        assert outcome == OK


def request(deployment_id: str, size: int = 0) -> bytes:
    """Write a Deploy's request; `size` makes it that many bytes long, by a field that nobody knows."""
    known: bytes = deploy_request(deployment_id).SerializeToString()
    if not size:
        return known
    for length_bytes in range(1, 5):
        filling = size - len(known) - len(_UNKNOWN_FIELD) - length_bytes
        if len(length := _varint(filling)) == length_bytes:
            return known + _UNKNOWN_FIELD + length + bytes(filling)
    raise AssertionError(f"no field makes it {size} bytes")


def _varint(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*written, value))
