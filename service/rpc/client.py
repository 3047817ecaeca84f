"""The caller's side of hydra.v1.DeployService: calls it, and turns what comes back into an error of ours."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

import grpc.aio
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hydra.v1 import deploy_pb2, deploy_pb2_grpc

from service.errors import HydraError
from service.rpc.call import INVOCATION_ID, Mode
from service.rpc.servicer import SERVICE
from service.rpc.status import DETAILS_KEY

_CHECK_SECONDS = 3.0
_RECONNECTS = 60
_RECONNECT_PAUSE_SECONDS = 1.0
_AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


class CallFailed(HydraError):
    """A call came back with an error, or not at all; `code` is its gRPC status, `facts` the ErrorInfo's metadata."""

    def __init__(self, code: grpc.StatusCode, message: str, reason: str) -> None:
        super().__init__(message, reason=reason)
        self.code = code


class DeployClient:
    """A connection to one gRPC server, without TLS."""

    def __init__(self, address: str, caller: str) -> None:
        """Prepare a connection to `host:port`; `caller` is kept in the record of every operation."""
        self.address = address
        self._caller = caller
        # A proxy from the environment is for the way out, not for a server on the own network.
        self._channel = grpc.aio.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)])
        self._stub = deploy_pb2_grpc.DeployServiceStub(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._channel.close()

    async def check(self) -> None:
        """Ask whether the server is there and takes calls. Raises CallFailed."""
        request = health_pb2.HealthCheckRequest(service=SERVICE)
        try:
            answer = await health_pb2_grpc.HealthStub(self._channel).Check(request, timeout=_CHECK_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise self._failed(error) from None
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            raise CallFailed(
                grpc.StatusCode.UNAVAILABLE,
                f"the gRPC server at {self.address} takes no calls: Restate or its database is away, or it is stopping",
                "NOT_SERVING",
            )

    async def deploy(
        self, request: deploy_pb2.DeployRequest, mode: Mode = Mode.WAIT, accepted: Callable[[str], None] | None = None
    ) -> None:
        """Call Deploy; `accepted` gets the invocation's id as soon as the deploy goes on without us.

        From then on a server that goes away is called again: that attaches to the same deploy. Raises CallFailed.
        """
        heard: list[str] = []
        for _ in range(_RECONNECTS):
            call = self._stub.Deploy(request, metadata=(("x-hydra-mode", mode), ("x-hydra-caller", self._caller)))
            try:
                invocation_id = dict(await call.initial_metadata()).get(INVOCATION_ID)
                if invocation_id and not heard and accepted:
                    accepted(invocation_id)
                heard += [invocation_id] if invocation_id else []
                await call
            except grpc.aio.AioRpcError as error:
                failure = self._failed(error)
                if not heard or error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise failure from None
            else:
                return
            await asyncio.sleep(_RECONNECT_PAUSE_SECONDS)
        raise failure

    def _failed(self, error: grpc.aio.AioRpcError) -> CallFailed:
        info = error_info(error)
        if info is not None:
            failure = CallFailed(error.code(), error.details() or "", info.reason)
            failure.facts = dict(info.metadata)
            return failure
        if error.code() in _AWAY:
            message = f"no gRPC server answers at {self.address}: is `hydra-deploy serve` running?"
            return CallFailed(error.code(), message, "GRPC_UNREACHABLE")
        message = f"the gRPC server at {self.address} answered {error.code().name}: {error.details()}"
        return CallFailed(error.code(), message, error.code().name)


def error_info(error: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo | None:
    """Read the ErrorInfo of an error (01 · 4); None where the server is not one of ours, or nothing answered."""
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY:
            for detail in status_pb2.Status.FromString(value).details:
                info = error_details_pb2.ErrorInfo()
                if detail.Unpack(info):
                    return info
    return None
