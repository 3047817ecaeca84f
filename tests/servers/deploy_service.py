"""A gRPC server of hydra.v1.DeployService that does nothing, and knows how it was called."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc.aio
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from hydra.v1 import deploy_pb2, deploy_pb2_grpc

from service.dev.ports import free_port
from service.errors import HydraError
from service.rpc.call import SERVICE
from service.rpc.status import abort


@dataclass
class Server(deploy_pb2_grpc.DeployServiceServicer, grpc.aio.ServerInterceptor):  # type: ignore[type-arg] # generic in the stubs alone
    """What `called_with` it keeps by rpc; it ends each call but health's with `error`, where there is one."""

    address: str
    error: HydraError | None
    called_with: dict[str, dict[str, str | bytes]] = field(default_factory=dict)
    peers: set[bytes] = field(default_factory=set)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        rpc = handler_call_details.method.rpartition("/")[2]
        self.called_with[rpc] = dict(handler_call_details.invocation_metadata or ())
        return await continuation(handler_call_details)

    async def Deploy(self, _: Any, context: Any) -> Any:  # noqa: N802 - the proto's name
        return await self._answer(deploy_pb2.DeployResponse(), context)

    async def Rollback(self, _: Any, context: Any) -> Any:  # noqa: N802 - as above
        return await self._answer(deploy_pb2.RollbackResponse(), context)

    async def Promote(self, _: Any, context: Any) -> Any:  # noqa: N802 - as above
        return await self._answer(deploy_pb2.PromoteResponse(), context)

    async def ScaleDownIdlePreviewDeployments(self, _: Any, context: Any) -> Any:  # noqa: N802 - as above
        return await self._answer(deploy_pb2.ScaleDownIdlePreviewDeploymentsResponse(), context)

    async def _answer(self, response: Message, context: Any) -> Message:
        self.peers.update(context.peer_identities() or ())
        if self.error is not None:
            await abort(self.error, context)
        return response


@asynccontextmanager
async def serving(
    credentials: grpc.ServerCredentials | None, error: HydraError | None = None, *, health: bool = True
) -> AsyncIterator[Server]:
    """Serve on loopback, with TLS where there are credentials, while the block lasts."""
    address = f"127.0.0.1:{free_port()}"
    known = Server(address, error)
    server = grpc.aio.server(interceptors=[known])
    deploy_pb2_grpc.add_DeployServiceServicer_to_server(known, server)
    if health:
        servicer = HealthServicer()
        await servicer.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    if credentials is None:
        server.add_insecure_port(address)
    else:
        server.add_secure_port(address, credentials)
    await server.start()
    try:
        yield known
    finally:
        await server.stop(None)
