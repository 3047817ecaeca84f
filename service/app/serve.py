"""One process of the service: starts its parts in order, serves, drains and stops."""

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from enum import StrEnum
from functools import partial

import structlog
from restate.server import install_shutdown_hook

from service import background
from service.app.analytics import open_build_recorder, open_request_log
from service.app.building import open_builder, open_github
from service.app.database import open_database
from service.app.documents import open_documents
from service.app.probes import Probes
from service.app.reconciling import open_admin, reconciling
from service.app.rpc import serve_rpc
from service.app.services import handlers_of, objects_of, options_of, say_what_is_left_out
from service.config import Settings
from service.database.dsn import parse as parse_dsn
from service.database.engine import Database
from service.database.migrations import check_schema
from service.database.pools import overruled
from service.durable.binding import Handler
from service.durable.endpoint import Address, Endpoint
from service.durable.journal import NullHook, StepHook
from service.durable.registration import Registration
from service.errors import FailedPrecondition, Transient
from service.release import release_id
from service.rpc.address import is_loopback
from service.workflow.health_gate import GateTiming, HealthGate
from service.workflow.runtime import Runtime

log = structlog.get_logger(__name__)


class Role(StrEnum):
    """What one process does."""

    ALL = "all"
    GRPC = "grpc"
    WORKER = "worker"


async def serve(settings: Settings, role: Role, hook: StepHook | None = None) -> None:
    """Run until SIGTERM or SIGINT, then drain and stop.

    Raises Transient without the database, FailedPrecondition without its tables or where an
    address is taken.
    """
    if settings.ignored_keys:
        log.warning("keys of the configuration that nothing here knows", keys=list(settings.ignored_keys))
    if names := overruled(parse_dsn(settings.database.primary.get_secret_value())):
        log.warning("session variables in database.primary that do not count", names=names)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        # Through the SDK: its ASGI app would otherwise replace our handler on the first request (05 · 3).
        install_shutdown_hook(loop, stop.set, number)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(settings))
        await _require_schema(database)
        probes = Probes(database)
        handlers: Mapping[str, Mapping[str, Handler]] = {}
        if role is not Role.GRPC:
            gate = await stack.enter_async_context(_health_gate(settings, database))
            requests = await stack.enter_async_context(open_request_log(settings))
            github = await stack.enter_async_context(open_github(settings))
            recorder = await stack.enter_async_context(open_build_recorder(settings))
            builder = await stack.enter_async_context(open_builder(settings, recorder))
            documents = await stack.enter_async_context(open_documents(settings))
            restate = await stack.enter_async_context(open_admin(settings))
            runtime = Runtime(
                database=database,
                gate=gate,
                requests=requests,
                github=github,
                reports=github.reports,
                builder=builder,
                documents=documents,
                restate=restate,
                options=options_of(settings),
                hook=hook or NullHook(),
            )
            handlers = handlers_of(settings, runtime)
            say_what_is_left_out(settings.services)
        endpoint = await stack.enter_async_context(_endpoint(settings, handlers, probes))
        if role is not Role.GRPC:
            await stack.enter_async_context(_registered(settings, endpoint, probes))
            await stack.enter_async_context(reconciling(settings))
        if role is not Role.WORKER:
            await stack.enter_async_context(serve_rpc(settings, database, probes))
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


@asynccontextmanager
async def _health_gate(settings: Settings, database: Database) -> AsyncIterator[HealthGate]:
    gate = HealthGate(database, _gate_timing(settings))
    try:
        yield gate
    finally:
        await gate.close()


@asynccontextmanager
async def _endpoint(
    settings: Settings, handlers: Mapping[str, Mapping[str, Handler]], probes: Probes
) -> AsyncIterator[Endpoint]:
    objects = objects_of(settings, handlers)
    restate = settings.restate
    address = Address(restate.http_host, restate.http_port, restate.identity_keys)
    endpoint = Endpoint(objects, release_id(handlers), probes.by_name(), address)
    endpoint.start()
    log.info("HTTP is served", host=address.host, port=address.port, services=sorted(handlers))
    if handlers and not address.identity_keys and not is_loopback(f"{address.host}:{address.port}"):
        log.warning("whoever reaches the HTTP port may run handlers: restate.identity_keys would keep them out")
    try:
        yield endpoint
    finally:
        await endpoint.stop()


@asynccontextmanager
async def _registered(settings: Settings, endpoint: Endpoint, probes: Probes) -> AsyncIterator[None]:
    """Register in the background, for as long as it takes; until then the process is not ready."""
    probes.registered = False
    registering = background.until_done("registration", partial(_register, settings, endpoint, probes))
    try:
        yield
    finally:
        probes.registered = False
        await background.end(registering)


async def _register(settings: Settings, endpoint: Endpoint, probes: Probes) -> None:
    if settings.restate.register_as:
        uri = settings.restate.register_as.rstrip("/") + endpoint.path
        await Registration(settings.restate.admin_url, uri, settings.restate.api_key.get_secret_value()).register()
    else:
        log.warning("restate.register_as is empty: register this worker by hand", path=endpoint.path)
    probes.registered = True


def _gate_timing(settings: Settings) -> GateTiming:
    deploy = settings.deploy
    return GateTiming(
        poll=deploy.health_poll,
        steady=deploy.health_steady,
        flap_steady=deploy.health_flap_steady,
        # Whoever waits for less than twice as long would never see the end of it.
        stale_steady=min(deploy.health_stale_steady, deploy.health_timeout / 2),
    )
