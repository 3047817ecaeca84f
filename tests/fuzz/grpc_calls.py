"""Calls to the gRPC plane of which any part may be wrong, and what a clean answer to them is."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc.aio
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from tests.fuzz.fuzzer import leak
from tests.fuzz.shown import Shown

SERVICE = "hydra.v1.DeployService"
RPCS = ("Deploy", "Rollback", "Promote", "ScaleDownIdlePreviewDeployments")
DEADLINE_S = 60  # a call that ends by it is one that was never answered
_CLEAN = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.UNIMPLEMENTED,
}

Metadata = tuple[tuple[str, str | bytes], ...]


@dataclass(frozen=True, repr=False)
class Call(Shown):
    """A unary call; `may_succeed` where the request can be a good one, `may_be_too_large` where gRPC has a limit."""

    path: str
    message: bytes
    metadata: Metadata = ()
    compression: grpc.Compression | None = None
    may_succeed: bool = False
    may_be_too_large: bool = False


def rpc(name: str) -> str:
    return f"/{SERVICE}/{name}"


def caller(channel: Any) -> Callable[[Call], Awaitable[str]]:
    """Make the function that calls, and tells what is wrong with the answer."""

    async def call(wanted: Call) -> str:
        method = channel.unary_unary(wanted.path)  # without serializers: bytes as they are
        try:
            await method(wanted.message, metadata=wanted.metadata, timeout=DEADLINE_S, compression=wanted.compression)
        except grpc.aio.AioRpcError as error:
            return _fault(error, wanted)
        return "" if wanted.may_succeed else "the call succeeded"

    return call


def _fault(error: grpc.aio.AioRpcError, call: Call) -> str:
    code, message = error.code(), error.details() or ""
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and call.may_be_too_large:
        return ""
    if code not in _CLEAN:
        return f"answered {code.name}: {message[:300]}"
    if code is not grpc.StatusCode.UNIMPLEMENTED and SERVICE in call.path and not _has_details(error):
        return f"answered {code.name} without details: {message[:300]}"
    return leak(message)


def _has_details(error: grpc.aio.AioRpcError) -> bool:
    """Tell whether the error says more than its code and message (01 · 4)."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type] # an AioRpcError has what a call has
    return status is not None and status.details[0].Is(error_details_pb2.ErrorInfo.DESCRIPTOR)
