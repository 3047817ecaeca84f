"""The caller's side of hydra.v1.DeployService: calls it, and calls again where that does nothing twice."""

import asyncio
import uuid
from collections.abc import Callable, Mapping
from operator import methodcaller
from types import TracebackType
from typing import Any, Self

import grpc.aio
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hydra.v1 import deploy_pb2

from service.rpc.call import INVOCATION_ID, SERVICE, Mode
from service.rpc.credentials import ClientCredentials
from service.rpc.failure import CallFailed, failure_of

_CHECK_SECONDS = 3.0
_RECONNECTS = 60
_RECONNECT_PAUSE_SECONDS = 1.0
_ANONYMOUS = ClientCredentials()
# Once an operation was accepted: what comes between us and its end, and is not its end.
_BETWEEN = frozenset(
    {"GRPC_UNREACHABLE", "CONNECTION_CLOSED", "SERVER_DRAINING", "RESTATE_UNAVAILABLE", "WORKER_NOT_REGISTERED"}
)

Accept = Callable[[str], None]


def _ignore(_: str) -> None:
    """Take no notice of an acceptance."""


class DeployClient:
    """A connection to one gRPC server."""

    def __init__(self, address: str, caller: str, credentials: ClientCredentials = _ANONYMOUS) -> None:
        """Prepare a connection to `host:port`. Raises FailedPrecondition where a token would travel in the clear.

        `caller` is kept in the record of every operation, unless the credentials say who calls.
        """
        self.address = address
        self._credentials = credentials
        self._metadata = (*credentials.metadata(), ("x-hydra-caller", caller))
        self._channel = credentials.channel(address)
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
        """Ask whether the server is there, takes calls, and takes ours. Raises CallFailed."""
        await self._check_health()
        try:  # whether we may call is looked at before what we ask for, and this asks for nothing
            async for _ in self._deploy(deploy_pb2.DeployRequest(), timeout=_CHECK_SECONDS, metadata=self._metadata):
                pass
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.INVALID_ARGUMENT:
                raise self._failure(error) from None

    async def _check_health(self) -> None:
        request = health_pb2.HealthCheckRequest(service=SERVICE)
        check = health_pb2_grpc.HealthStub(self._channel).Check
        try:
            answer = await check(request, timeout=_CHECK_SECONDS, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                return  # `grpc.health` is off
            raise self._failure(error) from None
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
        waited = False

        def accept(invocation_id: str) -> None:
            nonlocal waited
            waited = True
            if not known:
                known.append(invocation_id)
                accepted(invocation_id)

        for _ in range(_RECONNECTS):
            waited = False
            try:
                await self._call(method, request, metadata, accept)
            except grpc.aio.AioRpcError as error:
                failure = self._failure(error)
                is_end = waited and failure.reason not in _BETWEEN
                if is_end or not known or failure.code is not grpc.StatusCode.UNAVAILABLE:
                    raise failure from None
            else:
                return known[0] if known else ""
            await asyncio.sleep(_RECONNECT_PAUSE_SECONDS)
        raise failure

    async def _call(self, method: Any, request: Message, metadata: Mapping[str, str], accept: Accept) -> None:
        call = method(request, metadata=(*metadata.items(), *self._metadata))
        invocation_id = dict(await call.initial_metadata()).get(INVOCATION_ID)
        if invocation_id:
            accept(str(invocation_id))
        async for _ in call:
            pass

    def _failure(self, error: grpc.aio.AioRpcError) -> CallFailed:
        return failure_of(error, self.address, self._credentials)


def _once() -> dict[str, str]:
    """Make a key of a call's own: whoever calls again with it attaches, and does nothing twice."""
    return {"idempotency-key": f"{uuid.uuid4()}"}
