"""The composition root: turns settings into running parts. Nothing else names concrete adapters."""

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from enum import StrEnum
from functools import partial

import structlog
from hydra.v1 import deploy_pb2, deployment_pb2, routing_pb2, versioning_pb2
from restate.server import install_shutdown_hook

from service.analytics.dsn import parse as parse_clickhouse
from service.analytics.requests import ClickHouseRequests, NullRequests, RequestLog
from service.config import Settings
from service.database.dsn import parse as parse_dsn
from service.database.engine import Database
from service.database.migrations import check_schema
from service.durable.binding import Handler, virtual_object
from service.durable.endpoint import Address, Endpoint, Probe
from service.durable.journal import NullHook, StepHook
from service.durable.registration import Registration
from service.errors import FailedPrecondition, Transient
from service.release import release_id
from service.routing.handlers import routing_handlers
from service.rpc.ingress import Ingress
from service.rpc.server import RpcOptions, RpcServer
from service.workflow.deploy import deploy_handler
from service.workflow.desired_state import deployment_handlers
from service.workflow.health_gate import GateTiming, HealthGate
from service.workflow.promote import promote_handler
from service.workflow.rollback import rollback_handler
from service.workflow.runtime import Options, Runtime
from service.workflow.scale_down import scale_down_handler
from service.workflow.versioning import versioning_handlers

log = structlog.get_logger(__name__)


class Role(StrEnum):
    """What one process does."""

    ALL = "all"
    GRPC = "grpc"
    WORKER = "worker"


@asynccontextmanager
async def open_database(settings: Settings) -> AsyncIterator[Database]:
    """Connect to the primary database and close it afterwards. Raises Transient where it cannot be reached."""
    database = await Database.open(parse_dsn(settings.database.primary.get_secret_value()))
    try:
        yield database
    finally:
        await database.close()


async def serve(settings: Settings, role: Role, hook: StepHook | None = None) -> None:
    """Run until SIGTERM or SIGINT, then drain and stop.

    Raises Transient without the database, FailedPrecondition without its tables or where an
    address is taken.
    """
    if settings.ignored_keys:
        log.warning("keys of the configuration that nothing here knows", keys=list(settings.ignored_keys))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        # Through the SDK: its ASGI app would otherwise replace our handler on the first request (05 · 3).
        install_shutdown_hook(loop, stop.set, number)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(settings))
        await _require_schema(database)
        probes = _Probes(database)
        handlers: Mapping[str, Mapping[str, Handler]] = {}
        if role is not Role.GRPC:
            gate = await stack.enter_async_context(_health_gate(settings, database))
            requests = await stack.enter_async_context(open_request_log(settings))
            runtime = Runtime(database, gate, requests, _options(settings), hook or NullHook())
            handlers = _handlers(settings, runtime)
        endpoint = await stack.enter_async_context(_endpoint(settings, handlers, probes))
        if role is not Role.GRPC:
            await stack.enter_async_context(_registered(settings, endpoint, probes))
        if role is not Role.WORKER:
            await stack.enter_async_context(_grpc(settings, database, probes))
        await asyncio.wait(
            [asyncio.ensure_future(stop.wait()), asyncio.ensure_future(endpoint.ended())],
            return_when=asyncio.FIRST_COMPLETED,
        )
        log.info("stopping")
    if not stop.is_set():
        raise Transient("the HTTP endpoint ended by itself", reason="ENDPOINT_ENDED")


async def _require_schema(database: Database) -> None:
    if faults := await check_schema(database):
        raise FailedPrecondition(
            "the database is not ready: " + "; ".join(faults) + ": run `hydra-deploy migrate`", reason="SCHEMA_MISSING"
        )


class _Probes:
    """What the health paths answer: every part that starts adds what it needs."""

    def __init__(self, database: Database) -> None:
        self._needs: list[Probe] = [partial(_reachable, database)]
        self.registered = True

    def need(self, probe: Probe) -> None:
        self._needs.append(probe)

    async def live(self) -> bool:
        """Tell whether the process turns over at all."""
        return True

    async def ready(self) -> bool:
        """Tell whether it can do its work now."""
        return self.registered and all([await probe() for probe in self._needs])

    async def startup(self) -> bool:
        """Tell whether it has started: Restate knows it."""
        return self.registered

    def by_name(self) -> dict[str, Probe]:
        return {"live": self.live, "ready": self.ready, "startup": self.startup}


async def _reachable(database: Database) -> bool:
    try:
        await database.ping()
    except Transient:
        return False
    return True


@asynccontextmanager
async def _health_gate(settings: Settings, database: Database) -> AsyncIterator[HealthGate]:
    gate = HealthGate(database, _gate_timing(settings))
    try:
        yield gate
    finally:
        await gate.close()


@asynccontextmanager
async def open_request_log(settings: Settings) -> AsyncIterator[RequestLog]:
    """Open the log of requests that the configuration names; without one, one that cannot tell."""
    url = settings.clickhouse.url.get_secret_value()
    log_of_requests: RequestLog = ClickHouseRequests(parse_clickhouse(url)) if url else NullRequests()
    try:
        yield log_of_requests
    finally:
        await log_of_requests.close()


@asynccontextmanager
async def _endpoint(
    settings: Settings, handlers: Mapping[str, Mapping[str, Handler]], probes: _Probes
) -> AsyncIterator[Endpoint]:
    objects = [virtual_object(name, rpcs, public=name == _DEPLOY) for name, rpcs in handlers.items()]
    address = Address(settings.restate.http_host, settings.restate.http_port)
    endpoint = Endpoint(objects, release_id(handlers), probes.by_name(), address)
    endpoint.start()
    log.info("HTTP is served", host=address.host, port=address.port, services=sorted(handlers))
    try:
        yield endpoint
    finally:
        await endpoint.stop()


@asynccontextmanager
async def _registered(settings: Settings, endpoint: Endpoint, probes: _Probes) -> AsyncIterator[None]:
    """Register in the background, for as long as it takes; until then the process is not ready."""
    probes.registered = False
    registering = asyncio.create_task(_register(settings, endpoint, probes), name="registration")
    try:
        yield
    finally:
        probes.registered = False
        registering.cancel()


async def _register(settings: Settings, endpoint: Endpoint, probes: _Probes) -> None:
    if settings.restate.register_as:
        uri = settings.restate.register_as.rstrip("/") + endpoint.path
        await Registration(settings.restate.admin_url, uri, settings.restate.api_key.get_secret_value()).register()
    else:
        log.warning("restate.register_as is empty: register this worker by hand", path=endpoint.path)
    probes.registered = True


@asynccontextmanager
async def _grpc(settings: Settings, database: Database, probes: _Probes) -> AsyncIterator[None]:
    ingress = Ingress(settings.restate.ingress_url)
    options = RpcOptions(
        settings.grpc.listen, settings.grpc.max_message_bytes, drain_timeout=settings.grpc.drain_timeout
    )
    server = RpcServer(ingress, database, options)
    try:
        port = await server.start()
        log.info("gRPC is served", listen=settings.grpc.listen, port=port)
        probes.need(ingress.is_up)
        yield
    finally:
        await server.stop()
        await ingress.close()


_DEPLOY = deploy_pb2.DESCRIPTOR.services_by_name["DeployService"].full_name
_DEPLOYMENT = deployment_pb2.DESCRIPTOR.services_by_name["DeploymentService"].full_name
_ROUTING = routing_pb2.DESCRIPTOR.services_by_name["RoutingService"].full_name
_VERSIONING = versioning_pb2.DESCRIPTOR.services_by_name["VersioningService"].full_name


def _handlers(settings: Settings, runtime: Runtime) -> dict[str, Mapping[str, Handler]]:
    """Gather the services that this worker is set to serve, by name (01 · 2)."""
    deploy_service = {
        "Deploy": deploy_handler(runtime),
        "Rollback": rollback_handler(runtime),
        "Promote": promote_handler(runtime),
        "ScaleDownIdlePreviewDeployments": scale_down_handler(runtime),
    }
    offered = {
        _DEPLOY: (settings.services.deploy, deploy_service),
        _DEPLOYMENT: (settings.services.deployment, deployment_handlers(runtime)),
        _ROUTING: (settings.services.routing, routing_handlers(runtime.database, runtime.journal)),
        _VERSIONING: (settings.services.versioning, versioning_handlers(runtime)),
    }
    return {name: rpcs for name, (served, rpcs) in offered.items() if served}


def _gate_timing(settings: Settings) -> GateTiming:
    deploy = settings.deploy
    return GateTiming(poll=deploy.health_poll, steady=deploy.health_steady, flap_steady=deploy.health_flap_steady)


def _options(settings: Settings) -> Options:
    return Options(
        default_domain=settings.default_domain,
        sentinel_image=settings.sentinel_image,
        health_timeout=settings.deploy.health_timeout,
        standby_delay=settings.deploy.standby_delay,
        step_timeout=settings.deploy.step_timeout,
        quota_surge=settings.deploy.quota_surge,
        idle_time=settings.deploy.idle_time,
    )
