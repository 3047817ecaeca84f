"""The caller's side of hydra.v1.DeployService: calls it, and turns what comes back into an error of ours."""

import asyncio
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from operator import methodcaller
from types import TracebackType
from typing import Any, Self, cast

import grpc.aio
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hydra.v1 import deploy_pb2

from service.errors import HydraError
from service.rpc.call import INVOCATION_ID, Mode
from service.rpc.servicer import SERVICE
from service.rpc.status import DETAILS_KEY

_CHECK_SECONDS = 3.0
_RECONNECTS = 60
_RECONNECT_PAUSE_SECONDS = 1.0
_AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)

Accept = Callable[[str], None]


def _ignore(_: str) -> None:
    """Take no notice of an acceptance."""


def target_of(listen: str) -> str:
    """Return where to reach a server on this machine that listens on `host:port`."""
    host, _, port = listen.rpartition(":")
    return f"127.0.0.1:{port}" if host in ("0.0.0.0", "[::]", "") else listen  # noqa: S104 - compared, not bound


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
        self._deploy = self._method("Deploy", deploy_pb2.DeployResponse)
        self._rollback = self._method("Rollback", deploy_pb2.RollbackResponse)
        self._promote = self._method("Promote", deploy_pb2.PromoteResponse)
        self._scale_down = self._method(
            "ScaleDownIdlePreviewDeployments", deploy_pb2.ScaleDownIdlePreviewDeploymentsResponse
        )

    def _method(self, name: str, response: type[Message]) -> Any:
        # As a stream of one answer: the same on the wire, but the metadata that come before it can be read then.
        return self._channel.unary_stream(
            f"/{SERVICE}/{name}",
            request_serializer=methodcaller("SerializeToString"),
            response_deserializer=response.FromString,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._channel.close(None)

    async def check(self) -> None:
        """Ask whether the server is there and takes calls. Raises CallFailed."""
        request = health_pb2.HealthCheckRequest(service=SERVICE)
        try:
            answer = await health_pb2_grpc.HealthStub(self._channel).Check(request, timeout=_CHECK_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise failure_of(error, self.address) from None
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            raise CallFailed(
                grpc.StatusCode.UNAVAILABLE,
                f"the gRPC server at {self.address} takes no calls: Restate or its database is away, or it is stopping",
                "NOT_SERVING",
            )

    async def deploy(
        self, request: deploy_pb2.DeployRequest, mode: Mode = Mode.WAIT, accepted: Accept = _ignore
    ) -> str:
        """Call Deploy and return the invocation's id; `accepted` gets it as soon as the deploy goes on without us.

        From then on a server that goes away is called again: that attaches to the same deploy. Raises CallFailed.
        """
        return await self._attended(self._deploy, request, {"x-hydra-mode": mode}, accepted)

    async def rollback(self, request: deploy_pb2.RollbackRequest, accepted: Accept = _ignore) -> str:
        """Call Rollback; otherwise as `deploy`."""
        return await self._attended(self._rollback, request, _once(), accepted)

    async def promote(self, request: deploy_pb2.PromoteRequest, accepted: Accept = _ignore) -> str:
        """Call Promote; otherwise as `deploy`."""
        return await self._attended(self._promote, request, _once(), accepted)

    async def scale_down(self, accepted: Accept = _ignore) -> str:
        """Call ScaleDownIdlePreviewDeployments; otherwise as `deploy`."""
        request = deploy_pb2.ScaleDownIdlePreviewDeploymentsRequest()
        return await self._attended(self._scale_down, request, _once(), accepted)

    async def _attended(self, method: Any, request: Message, metadata: Mapping[str, str], accepted: Accept) -> str:
        """Call until there is an answer; `metadata` makes all calls one."""
        known: list[str] = []

        def accept(invocation_id: str) -> None:
            if not known:
                known.append(invocation_id)
                accepted(invocation_id)

        for _ in range(_RECONNECTS):
            try:
                await self._call(method, request, metadata, accept)
            except grpc.aio.AioRpcError as error:
                failure = failure_of(error, self.address)
                if not known or failure.code is not grpc.StatusCode.UNAVAILABLE:
                    raise failure from None
            else:
                return known[0] if known else ""
            await asyncio.sleep(_RECONNECT_PAUSE_SECONDS)
        raise failure

    async def _call(self, method: Any, request: Message, metadata: Mapping[str, str], accept: Accept) -> None:
        call = method(request, metadata=(*metadata.items(), ("x-hydra-caller", self._caller)))
        invocation_id = dict(await call.initial_metadata()).get(INVOCATION_ID)
        if invocation_id:
            accept(str(invocation_id))
        async for _ in call:
            pass


def _once() -> dict[str, str]:
    """Make a key of a call's own: whoever calls again with it attaches, and does nothing twice."""
    return {"idempotency-key": f"{uuid.uuid4()}"}


def failure_of(error: grpc.aio.AioRpcError, address: str) -> CallFailed:
    """Turn what a call to `address` ended with into an error for people."""
    info = error_info(error)
    if info is not None:
        failure = CallFailed(error.code(), error.details() or "", info.reason)
        failure.facts = dict(info.metadata)
        return failure
    if error.code() in _AWAY:
        message = f"no gRPC server answers at {address}: is `hydra-deploy serve` running?"
        return CallFailed(error.code(), message, "GRPC_UNREACHABLE")
    message = f"the gRPC server at {address} answered {error.code().name}: {error.details()}"
    return CallFailed(error.code(), message, error.code().name)


def error_info(error: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo | None:
    """Read the ErrorInfo of an error (01 · 4); None where the server is not one of ours, or nothing answered."""
    trailing = cast(Iterable[tuple[str, bytes]], error.trailing_metadata() or ())
    for key, value in trailing:
        if key == DETAILS_KEY:
            with suppress(DecodeError):
                return _first_info(status_pb2.Status.FromString(value))
    return None


def _first_info(status: status_pb2.Status) -> error_details_pb2.ErrorInfo | None:
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return info
    return None
