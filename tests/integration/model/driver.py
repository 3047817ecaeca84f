"""Doing to a real installation what the model does to itself, and looking at what came of it."""

import asyncio
from typing import Any

import grpc.aio
from hydra.v1 import deploy_pb2, deployment_pb2

from service.clock import now_ms
from service.database import tables
from service.dev.workload import AgentBehaviour
from service.dev.world import World
from tests.inside_caller import InsideCaller
from tests.installation import HEARS_IN_A_STEP, Installation, deploy_request
from tests.integration.model.expected import PREVIEW, PRODUCTION, Expected, Seen
from tests.previews import keep_log_alive
from tests.waiting import until

REGION = "us-east-1"
SERVICE = "hydra.v1.DeploymentService"
LONG_AGO_MS = 10 * 3_600_000
WITHIN_S = 60
STANDBY = deployment_pb2.DEPLOYMENT_DESIRED_STATE_STANDBY
_REFUSALS = (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.CANCELLED)


class Driver:
    """One app, in a workspace of its own; deployments go by their number in the order of creation."""

    def __init__(self, installation: Installation, inside: InsideCaller, world: World) -> None:
        self.installation = installation
        self.world = world
        self._inside = inside
        self._ids: list[str] = []
        self._running: dict[int, asyncio.Task[bool]] = {}

    async def begin(self, environment: str) -> None:
        """Begin a deploy, and wait until it waits for its instances, which do not come."""
        created = now_ms() - LONG_AGO_MS + 1000 * len(self._ids)
        deployment_id = await self.installation.deployment(self.world, environment, created_at_ms=created)
        self._ids.append(deployment_id)
        self._behave(deployment_id, AgentBehaviour(dead=True))
        call = _accepted(self.installation.stub.Deploy(deploy_request(deployment_id), timeout=120))
        self._running[len(self._ids) - 1] = asyncio.ensure_future(call)

        async def waits() -> bool:
            rows = await self.installation.rows(tables.deployment_topology, deployment_id=deployment_id)
            return bool(rows) and await self.installation.status(deployment_id) == "deploying"

        await asyncio.wait_for(until(waits), WITHIN_S)

    async def finish(self, number: int) -> bool:
        self._behave(self._ids[number], AgentBehaviour())
        return await self._running.pop(number)

    async def fail(self, number: int) -> bool:
        """Make the deploy fail at its switch: somebody has put the deployment to standby meanwhile."""
        await self.installation.set(tables.deployments, {"id": self._ids[number]}, desired_state="standby")
        return await self.finish(number)

    async def cancel(self, number: int) -> bool:
        await self.installation.cancel(await self.installation.operation(self._ids[number]))
        if not HEARS_IN_A_STEP:
            self._behave(self._ids[number], AgentBehaviour())
        return await self._running.pop(number)

    async def rollback(self, source: int, target: int) -> bool:
        request = deploy_pb2.RollbackRequest(
            source_deployment_id=self._ids[source], target_deployment_id=self._ids[target]
        )
        return await _accepted(self.installation.stub.Rollback(request, timeout=60))

    async def promote(self, target: int) -> bool:
        request = deploy_pb2.PromoteRequest(target_deployment_id=self._ids[target])
        return await _accepted(self.installation.stub.Promote(request, timeout=60))

    async def rest(self, due: int) -> bool:
        """Deliver the scheduled stop before its time."""
        pending = (await self._inside.state(SERVICE, self._ids[due])).get("transition")
        if pending is not None:
            change = deployment_pb2.ChangeDesiredStateRequest(nonce=pending["Nonce"], state=STANDBY)
            await self._inside.call(SERVICE, "ChangeDesiredState", self._ids[due], change)
        return True

    async def sweep(self) -> bool:
        """Make all previews of this app look old, and sweep; it is others that were called."""
        environment_id = self.world.app.environments[PREVIEW]
        await self.installation.set(
            tables.deployments,
            {"environment_id": environment_id, "status": "ready"},
            updated_at=now_ms() - LONG_AGO_MS,
        )
        await keep_log_alive(self.installation.stack.options.environ["HYDRA_CLICKHOUSE__URL"])
        request = deploy_pb2.ScaleDownIdlePreviewDeploymentsRequest()
        return await _accepted(self.installation.stub.ScaleDownIdlePreviewDeployments(request, timeout=60))

    async def seen(self) -> Seen:
        """Look at everything that the model speaks of, and that topologies do as their deployment says."""
        app = await self.installation.row(tables.apps, id=self.world.app.id)
        rows = {row["id"]: row for row in await self.installation.rows(tables.deployments, app_id=self.world.app.id)}
        states = tuple((rows[one]["status"], rows[one]["desired_state"]) for one in self._ids)
        for one in self._ids:
            for topology in await self.installation.rows(tables.deployment_topology, deployment_id=one):
                runs = rows[one]["desired_state"] == "running"
                if runs != (topology["desired_status"] == "running"):
                    states += ((one, topology["desired_status"]),)  # equals no expectation
        return Seen(
            self._number(app["current_deployment_id"]),
            bool(app["is_rolled_back"]),
            await self._routed(),
            states,
            await self._pending(),
        )

    async def agrees(self, *expected: Expected) -> Expected | None:
        """Wait until what is seen is one of the expected states, and return it; messages may still be on their way."""
        deadline = asyncio.get_running_loop().time() + WITHIN_S
        while asyncio.get_running_loop().time() < deadline:
            seen = await self.seen()
            for one in expected:
                if one.seen() == seen:
                    return one
            await asyncio.sleep(0.02)
        return None

    async def instances(self, number: int) -> int:
        rows = await self.installation.rows(tables.instances, deployment_id=self._ids[number])
        return len([row for row in rows if row["status"] == "running"])

    async def close(self) -> None:
        """Cancel the deploys that still wait."""
        for number in list(self._running):
            await self.cancel(number)

    async def _routed(self) -> dict[str, int | None]:
        routes = await self.installation.routes(self.world)
        slug = self.world.workspace_slug
        assert routes.get(f"shop-{slug}") == routes.get(f"shop-production-{slug}")
        return {name: self._number(routes.get(f"shop-{name}-{slug}")) for name in (PRODUCTION, PREVIEW)}

    async def _pending(self) -> frozenset[int]:
        keys = ", ".join(f"'{one}'" for one in ("", *self._ids))
        rows = await self.installation.admin_query(
            f"select service_key from state where service_name = '{SERVICE}' and key = 'transition' "
            f"and service_key in ({keys})"
        )
        return frozenset(self._ids.index(row["service_key"]) for row in rows)

    def _number(self, deployment_id: str | None) -> int | None:
        return None if deployment_id is None else self._ids.index(deployment_id)

    def _behave(self, deployment_id: str, behaviour: AgentBehaviour) -> None:
        self.installation.agents[REGION].behave(behaviour, deployment_id)


async def _accepted(call: Any) -> bool:
    """Tell whether a call went well; refusals are told from faults of the service."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        if error.code() not in _REFUSALS:
            raise
        return False
    return True
