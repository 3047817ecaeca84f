"""The gRPC server: DeployService, health and reflection on one address."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import grpc.aio
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from hydra.v1 import deploy_pb2_grpc

from service.database.engine import Database
from service.errors import FailedPrecondition, Transient
from service.rpc.certificates import Certificates
from service.rpc.drain import Drain
from service.rpc.entrance import Access, Entrance
from service.rpc.health import Health
from service.rpc.ingress import Ingress
from service.rpc.intake import Intake
from service.rpc.limits import Limits, Places
from service.rpc.reflection import V1, add_reflection
from service.rpc.servicer import SERVICE, DeployServicer
from service.rpc.tokens import Tokens

log = structlog.get_logger(__name__)

_HEALTH_INTERVAL_SECONDS = 2.0
_SERVED = ("", SERVICE)


@dataclass(frozen=True)
class RpcOptions:
    """`listen` is host:port; port 0 takes a free one. Without `certificates` it is spoken in the clear."""

    listen: str
    drain_timeout: timedelta
    limits: Limits
    tokens: Tokens
    certificates: Certificates | None = None
    health: Access = Access.OPEN
    reflection: Access = Access.AUTHENTICATED


class RpcServer:
    """A gRPC server and the watch that keeps its health answer true."""

    def __init__(self, ingress: Ingress, database: Database, options: RpcOptions) -> None:
        self._ingress = ingress
        self._database = database
        self._options = options
        self._drain = Drain()
        self._health = Health()
        self._watch: asyncio.Task[None] | None = None
        intake = Intake(Places(options.limits.waiting_calls), options.limits.keepalive_timeout)
        beside = {
            health.SERVICE_NAME: options.health,
            reflection.SERVICE_NAME: options.reflection,
            V1: options.reflection,
        }
        self._server = grpc.aio.server(
            interceptors=[Entrance(SERVICE, options.tokens, intake, beside)],
            maximum_concurrent_rpcs=options.limits.calls,
            options=[*options.limits.arguments(), ("grpc.so_reuseport", 0)],
        )
        servicer = DeployServicer(ingress, database, self._drain)
        deploy_pb2_grpc.add_DeployServiceServicer_to_server(servicer, self._server)
        if options.health is not Access.OFF:
            health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if options.reflection is not Access.OFF:
            add_reflection(self._server, (SERVICE, health.SERVICE_NAME))

    async def start(self) -> int:
        """Listen and return the port. Raises FailedPrecondition where the address is taken."""
        try:
            port = self._add_port()
        except RuntimeError as error:
            raise FailedPrecondition(
                f"gRPC cannot listen on {self._options.listen}: {error}", reason="ADDRESS_UNUSABLE"
            ) from None
        await self._report()
        await self._server.start()
        self._watch = asyncio.create_task(self._keep_reporting(), name="grpc-health")
        return port

    def _add_port(self) -> int:
        if self._options.certificates is None:
            return self._server.add_insecure_port(self._options.listen)
        return self._server.add_secure_port(self._options.listen, self._options.certificates.credentials())

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
