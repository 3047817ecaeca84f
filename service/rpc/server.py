"""The gRPC server: DeployService, health and reflection on one address."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import grpc.aio
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from hydra.v1 import deploy_pb2_grpc

from service import background
from service.database.engine import Database
from service.errors import FailedPrecondition, Transient
from service.rpc.call import SERVICE
from service.rpc.certificates import Certificates
from service.rpc.drain import Drain
from service.rpc.entrance import Access, Entrance
from service.rpc.health import Health
from service.rpc.ingress import Ingress
from service.rpc.intake import Intake
from service.rpc.limits import Limits, Places
from service.rpc.reflection import V1, add_reflection
from service.rpc.servicer import DeployServicer
from service.rpc.tokens import Tokens

log = structlog.get_logger(__name__)

_HEALTH_INTERVAL_SECONDS = 2.0
_LISTENING_INTERVAL_SECONDS = 0.5
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
        self._tasks: list[asyncio.Task[None]] = []
        limits = options.limits
        self._intakes = (
            Intake(Places(limits.waiting_calls), limits.keepalive_timeout),
            Intake(Places(limits.calls_beside), limits.keepalive_timeout),
        )
        self._server = self._new()
        self._ending: set[asyncio.Task[None]] = set()  # earlier servers, whose calls may still be under way

    def _new(self) -> grpc.aio.Server:
        options = self._options
        beside = {
            health.SERVICE_NAME: options.health,
            reflection.SERVICE_NAME: options.reflection,
            V1: options.reflection,
        }
        server = grpc.aio.server(
            interceptors=[Entrance(SERVICE, options.tokens, self._intakes, beside)],
            maximum_concurrent_rpcs=options.limits.calls,
            options=[*options.limits.arguments(), ("grpc.so_reuseport", 0)],
        )
        servicer = DeployServicer(self._ingress, self._database, self._drain)
        deploy_pb2_grpc.add_DeployServiceServicer_to_server(servicer, server)
        if options.health is not Access.OFF:
            health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        if options.reflection is not Access.OFF:
            add_reflection(server, (SERVICE, health.SERVICE_NAME))
        return server

    async def start(self) -> int:
        """Listen and return the port. Raises FailedPrecondition where the address is taken."""
        port = self._add_port(self._options.listen)
        await self._report()
        await self._server.start()
        address = f"{self._options.listen.rpartition(':')[0]}:{port}"
        self._tasks = [
            background.forever("grpc-health", self._keep_reporting),
            background.forever("grpc-listening", partial(self._keep_listening, address)),
        ]
        return port

    def _add_port(self, address: str) -> int:
        try:
            if self._options.certificates is None:
                return self._server.add_insecure_port(address)
            return self._server.add_secure_port(address, self._options.certificates.credentials())
        except RuntimeError as error:
            raise FailedPrecondition(f"gRPC cannot listen on {address}: {error}", reason="ADDRESS_UNUSABLE") from None

    async def _keep_listening(self, address: str) -> None:
        """Listen again when gRPC has stopped by itself: a request whose path is no UTF-8 does that (grpcio 1.85).

        Calls that are under way have their time to end; their clients connect anew for others.
        """
        while True:
            try:
                await self._server.wait_for_termination(_LISTENING_INTERVAL_SECONDS)
            except Exception as error:  # noqa: BLE001 - whatever it is that ended it
                log.error(  # noqa: TRY400 - the traceback is of gRPC
                    "the gRPC server stopped by itself, and is started again", error=type(error).__name__
                )
                await self._listen_again(address)

    async def _listen_again(self, address: str) -> None:
        ending = background.once("grpc-ending", partial(self._server.stop, self._options.drain_timeout.total_seconds()))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)
        while True:
            self._server = self._new()
            try:
                self._add_port(address)
            except FailedPrecondition:  # the one that ended may not have let go of the address yet
                await asyncio.sleep(_LISTENING_INTERVAL_SECONDS)
            else:
                await self._server.start()
                return

    async def stop(self) -> None:
        """Drain: answer NOT_SERVING, send waiting callers away, let the others finish, then stop."""
        for task in self._tasks:
            await background.end(task)
        await self._health.enter_graceful_shutdown()
        self._drain.begin()
        await self._server.stop(self._options.drain_timeout.total_seconds())
        if self._ending:
            await asyncio.wait(set(self._ending))

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
