"""The gRPC server: DeployService, health and reflection on one address."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import grpc.aio
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from hydra.v1 import deploy_pb2_grpc

from service.database.engine import Database
from service.errors import FailedPrecondition, Transient
from service.rpc.drain import Drain
from service.rpc.ingress import Ingress
from service.rpc.reflection import add_reflection
from service.rpc.servicer import SERVICE, DeployServicer

log = structlog.get_logger(__name__)

_HEALTH_INTERVAL_SECONDS = 2.0
_SERVED = ("", SERVICE)


@dataclass(frozen=True)
class RpcOptions:
    """`listen` is host:port; port 0 takes a free one."""

    listen: str
    max_message_bytes: int
    drain_timeout: timedelta


class RpcServer:
    """A gRPC server and the watch that keeps its health answer true."""

    def __init__(self, ingress: Ingress, database: Database, options: RpcOptions) -> None:
        self._ingress = ingress
        self._database = database
        self._options = options
        self._drain = Drain()
        self._health = HealthServicer()
        self._watch: asyncio.Task[None] | None = None
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", options.max_message_bytes),
                ("grpc.max_send_message_length", options.max_message_bytes),
                ("grpc.so_reuseport", 0),
            ]
        )
        servicer = DeployServicer(ingress, database, self._drain)
        deploy_pb2_grpc.add_DeployServiceServicer_to_server(servicer, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        add_reflection(self._server, (SERVICE, health.SERVICE_NAME))

    async def start(self) -> int:
        """Listen and return the port. Raises FailedPrecondition where the address is taken."""
        try:
            port = self._server.add_insecure_port(self._options.listen)
        except RuntimeError as error:
            raise FailedPrecondition(
                f"gRPC cannot listen on {self._options.listen}: {error}", reason="ADDRESS_UNUSABLE"
            ) from None
        await self._report()
        await self._server.start()
        self._watch = asyncio.create_task(self._keep_reporting(), name="grpc-health")
        return port

    async def stop(self) -> None:
        """Drain: answer NOT_SERVING, send waiting callers away, let the others finish, then stop."""
        if self._watch is not None:
            self._watch.cancel()
        await self._health.enter_graceful_shutdown()
        self._drain.begin()
        await self._server.stop(self._options.drain_timeout.total_seconds())

    async def is_serving(self) -> bool:
        """Tell whether what a call needs is there: Restate's ingress and the database."""
        try:
            await self._database.ping()
        except Transient:
            return False
        return await self._ingress.is_up()

    async def _keep_reporting(self) -> None:
        while True:
            await asyncio.sleep(_HEALTH_INTERVAL_SECONDS)
            try:
                await self._report()
            except Exception:
                log.exception("gRPC health not refreshed")

    async def _report(self) -> None:
        serving = await self.is_serving()
        answer = health_pb2.HealthCheckResponse
        for name in _SERVED:
            await self._health.set(name, answer.SERVING if serving else answer.NOT_SERVING)
