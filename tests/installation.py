"""One running installation for the integration tests, and short ways to act on it and to look at it."""

import os
import sys
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar, Self

import aiohttp
import grpc.aio
import pytest
from hydra.v1 import deploy_pb2, deploy_pb2_grpc
from sqlalchemy import Table, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database import tables
from service.database.engine import Database
from service.dev.agent import RegionAgent, region_agents
from service.dev.restate import RestateOptions
from service.dev.stack import LocalStack, StackOptions
from service.dev.workload import AgentBehaviour
from service.dev.world import DeploymentSpec, World, WorldSpec, create_deployment, seed
from service.domain.deployment import PRODUCTION
from tests.faulty_service import FOLDER as FAULTS
from tests.waiting import until

_QUICKLY = timedelta(milliseconds=20)
_TESTS = Path(__file__).parent
IMAGE = "registry.example.com/acme/shop:1.0"
QUICK = {
    "health_timeout": '"45s"' if os.environ.get("HYDRA_TEST_FULL") else '"15s"',  # longer than a full mode's outage
    "health_poll": '"20ms"',
    "health_flap_steady": '"1s"',
    "health_stale_steady": '"5s"',
    "standby_delay": '"1500ms"',
    "step_timeout": '"60s"',
}

# Rounds are gone when a test asks for one: many leave behind on purpose what a round would put right.
_RECONCILES = {"HYDRA_RECONCILE__INTERVAL": "0s", "HYDRA_RECONCILE__GRACE": "1ms"}

# The suite in the mode of `always_replaying`.
ALWAYS_REPLAY = bool(os.environ.get("HYDRA_TEST_ALWAYS_REPLAY"))
# An attempt that was asked to suspend, which is then each at once, hears of no cancellation before its step ends.
HEARS_IN_A_STEP = not ALWAYS_REPLAY
hears_in_a_step = pytest.mark.skipif(ALWAYS_REPLAY, reason="cancels a step that ends only by that")


def stack_options(
    folder: Path,
    dsn: str,
    deploy: Mapping[str, str] | None = None,
    clickhouse_url: str = "",
    environ: Mapping[str, str] | None = None,
) -> StackOptions:
    """Say how a stack for tests differs from one for development: quick, with faults from the folder.

    `deploy` overrides QUICK. Without a `clickhouse_url` nobody counts requests. `environ` is the worker's, on top.
    """
    given = {FAULTS: str(folder), "PYTHONPATH": str(_TESTS.parent), **_RECONCILES, **(environ or {})}
    if clickhouse_url:
        given["HYDRA_CLICKHOUSE__URL"] = clickhouse_url
    options = StackOptions(
        dsn=dsn,
        deploy={**QUICK, **(deploy or {})},
        restate=RestateOptions(fsync=False),
        serve=(sys.executable, str(_TESTS / "faulty_service.py")),
        environ=given,
    )
    return always_replaying(options) if ALWAYS_REPLAY else options


def always_replaying(options: StackOptions) -> StackOptions:
    """Make every await of a handler a suspension and a replay (05 · 2), also where another than ours serves it."""
    server = {**options.restate.environ, "RESTATE_WORKER__INVOKER__INACTIVITY_TIMEOUT": "0s"}
    worker = {**options.environ, "HYDRA_RESTATE__INACTIVITY_TIMEOUT": "0s"}
    return replace(options, restate=replace(options.restate, environ=server), environ=worker)


@dataclass(frozen=True)
class Answer:
    """What Restate's ingress answered."""

    status: int
    body: dict[str, Any]
    headers: Mapping[str, str]


class Installation:
    """A stack, agents for three regions, a gRPC channel and an HTTP session.

    `made` has the worlds that tests made since it was last emptied, with the installation of each.
    """

    made: ClassVar[list[tuple["Installation", World]]] = []

    def __init__(self, stack: LocalStack) -> None:
        self.stack = stack
        self.agents: dict[str, RegionAgent] = {}
        self.channel: grpc.aio.Channel
        self.stub: Any
        self.http: aiohttp.ClientSession
        self._exit = AsyncExitStack()

    @property
    def database(self) -> Database:
        return self.stack.database

    async def __aenter__(self) -> Self:
        await self._exit.enter_async_context(self.stack)
        regions = (await seed(self.database, WorldSpec(workspace="first", apps=()))).regions
        behaviour = AgentBehaviour(start_delay=_QUICKLY)
        self.agents = await self._exit.enter_async_context(region_agents(self.database, regions.values(), behaviour))
        self.channel = await self._exit.enter_async_context(grpc.aio.insecure_channel(self.stack.grpc_address))
        self.stub = deploy_pb2_grpc.DeployServiceStub(self.channel)
        self.http = await self._exit.enter_async_context(aiohttp.ClientSession())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exit.aclose()

    # ------------------------------------------------------------------------------------------------------ to act

    async def world(self, **spec: Any) -> World:
        """Seed a workspace of its own in the regions that have agents."""
        unique = f"w{uuid.uuid4().hex[:8]}"
        world = await seed(self.database, WorldSpec(**{"workspace": unique, **spec}))
        self.made.append((self, world))
        return world

    async def deployment(self, world: World, environment: str = PRODUCTION, *, app: str = "", **spec: Any) -> str:
        """Create a deployment's row, as the control API does."""
        chosen = world.apps[app] if app else world.app
        return await create_deployment(
            self.database, chosen.id, chosen.environments[environment], DeploymentSpec(**spec)
        )

    async def deploy(self, deployment_id: str, *, image: str = IMAGE, timeout: float = 30, **metadata: str) -> None:
        """Deploy over gRPC and wait; raises grpc.aio.AioRpcError."""
        given = [(key.replace("_", "-"), value) for key, value in metadata.items()]
        await self.stub.Deploy(deploy_request(deployment_id, image), timeout=timeout, metadata=given)

    async def deployed(self, world: World, environment: str = PRODUCTION, **spec: Any) -> str:
        """Create a deployment and deploy it."""
        deployment_id = await self.deployment(world, environment, **spec)
        await self.deploy(deployment_id)
        return deployment_id

    async def ingress(
        self, path: str, body: Any = None, *, method: str = "POST", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Call Restate's ingress, as a Go caller does: JSON, with its content type."""
        given = {"content-type": "application/json", **(headers or {})}
        url = self.stack.restate.ingress_url + path
        async with self.http.request(method, url, json=body, headers=given) as answer:
            return Answer(answer.status, await answer.json(content_type=None), answer.headers)

    async def admin_query(self, query: str) -> list[dict[str, Any]]:
        """Ask Restate's introspection SQL."""
        url = f"{self.stack.restate.admin_url}/query"
        async with self.http.post(url, json={"query": query}, headers={"accept": "application/json"}) as answer:
            found: list[dict[str, Any]] = (await answer.json())["rows"]
            return found

    @asynccontextmanager
    async def held(self, point: str) -> AsyncIterator[Path]:
        """Hold steps at `<step>.<before|after>` while the block lasts; the file it gives tells when one is held.

        Without the file beside it that ends in `.hold` they go on before.
        """
        hold = self.stack.folder / f"{point}.hold"
        reached = self.stack.folder / f"{point}.held"
        reached.unlink(missing_ok=True)
        hold.touch()
        try:
            yield reached
        finally:
            hold.unlink(missing_ok=True)

    def kill_at(self, point: str) -> None:
        """Make the worker kill itself the next time it comes to `<step>.<before|after>`."""
        (self.stack.folder / f"{point}.kill").touch()

    async def cancel(self, invocation_id: str) -> int:
        async with self.http.patch(f"{self.stack.restate.admin_url}/invocations/{invocation_id}/cancel") as answer:
            return answer.status

    async def kill(self, invocation_id: str) -> int:
        async with self.http.patch(f"{self.stack.restate.admin_url}/invocations/{invocation_id}/kill") as answer:
            return answer.status

    async def forget(self, invocation_id: str) -> None:
        """Make Restate forget an invocation at its end, which it does by itself once the retention is over.

        Waits for its end. The same call with the same idempotency key is a new invocation afterwards, of the same id.
        """
        url = f"{self.stack.restate.admin_url}/invocations/{invocation_id}/purge"

        async def is_forgotten() -> bool:
            async with self.http.patch(url) as answer:
                assert answer.status in (200, 202, 404, 409), await answer.text()  # 409: it has not ended
            return not await self.admin_query(f"select id from sys_invocation where id = '{invocation_id}'")

        await until(is_forgotten)

    # ----------------------------------------------------------------------------------------------------- to look

    async def rows(self, table: Table, **where: Any) -> list[dict[str, Any]]:
        """Read rows by equality, oldest first."""

        async def work(conn: AsyncConnection) -> list[dict[str, Any]]:
            query = select(table).order_by(*table.primary_key.columns)
            for name, value in where.items():
                query = query.where(table.c[name] == value)
            return [dict(row) for row in (await conn.execute(query)).mappings()]

        return await self.database.read(work)

    async def row(self, table: Table, **where: Any) -> dict[str, Any]:
        (found,) = await self.rows(table, **where)
        return found

    async def set(self, table: Table, where: Mapping[str, Any], **values: Any) -> None:
        """Change rows behind the service's back."""

        async def work(conn: AsyncConnection) -> None:
            statement = update(table).values(**values)
            for name, value in where.items():
                statement = statement.where(table.c[name] == value)
            await conn.execute(statement)

        await self.database.transact(work)

    async def status(self, deployment_id: str) -> str:
        return str((await self.row(tables.deployments, id=deployment_id))["status"])

    async def operation(self, deployment_id: str) -> str:
        """Read which invocation works on the deployment, or did last."""
        attempt = await self.row(tables.hydra_deployment_attempts, deployment_id=deployment_id)
        return str(attempt["operation_id"])

    async def steps(self, deployment_id: str) -> dict[str, dict[str, Any]]:
        return {row["step"]: row for row in await self.rows(tables.deployment_steps, deployment_id=deployment_id)}

    async def routes(self, world: World, app: str = "") -> dict[str, str]:
        """Read the app's routes: host name without the apex → deployment id."""
        chosen = world.apps[app] if app else world.app
        found = await self.rows(tables.frontline_routes, app_id=chosen.id)
        return {row["fully_qualified_domain_name"].partition(".")[0]: row["deployment_id"] for row in found}

    async def live(self, world: World) -> str | None:
        current: str | None = (await self.row(tables.apps, id=world.app.id))["current_deployment_id"]
        return current


def deploy_request(deployment_id: str, image: str = IMAGE) -> deploy_pb2.DeployRequest:
    return deploy_pb2.DeployRequest(deployment_id=deployment_id, docker_image=deploy_pb2.DockerImage(image=image))
