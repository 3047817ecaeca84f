"""Rollback and promote where regions take nothing more: drained by their operator, or gone (02 · 2 and 3)."""

import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc.aio
import pytest
from hydra.v1 import deploy_pb2

from service.database import tables
from service.dev.agent import AgentTiming, RegionAgent, region_agents
from service.dev.workload import AgentBehaviour
from service.dev.world import World
from service.routing.plan import Plan, plan_promotion, plan_rollback
from tests.command import Ended, hydra
from tests.installation import Installation
from tests.integration.reconciling.test_lost import remove
from tests.integration.test_plan import promote as refused_promotion
from tests.integration.test_plan import rollback as refused_rollback
from tests.waiting import until

AT_ONCE_S = 6  # well under the health time-out
QUICKLY = AgentBehaviour(start_delay=timedelta(milliseconds=20))
NO_HEARTBEAT = AgentTiming(heartbeat=timedelta(hours=1))  # which would make a region known again that is gone

# Each kind of operation, each way to be out of use and each number of regions meets each of the others.
cases = pytest.mark.parametrize(
    ("regions", "operation", "how"),
    [(2, "rollback", "drained"), (2, "promote", "gone"), (3, "promote", "drained"), (3, "rollback", "gone")],
)
either = pytest.mark.parametrize("operation", ["rollback", "promote"])


@dataclass(frozen=True)
class Scene:
    """Two deployments of an app, in regions that no other world has: `target` is to take over from `live`."""

    installation: Installation
    world: World
    agents: dict[str, RegionAgent]
    live: str
    target: str

    async def take(self, operation: str) -> None:
        stub = self.installation.stub
        if operation == "rollback":
            request = deploy_pb2.RollbackRequest(source_deployment_id=self.live, target_deployment_id=self.target)
            await stub.Rollback(request, timeout=60)
        else:
            await stub.Promote(deploy_pb2.PromoteRequest(target_deployment_id=self.target), timeout=60)

    async def plan(self, operation: str) -> Plan:
        if operation == "rollback":
            return await self.installation.database.read(lambda conn: plan_rollback(conn, self.live, self.target))
        return await self.installation.database.read(lambda conn: plan_promotion(conn, self.target))

    async def refused(self, operation: str) -> str:
        """Have it planned and asked for, both in vain and with the same words; returns the reason."""
        if operation == "rollback":
            return await refused_rollback(self.installation, self.live, self.target)
        return await refused_promotion(self.installation, self.target)

    async def command(self, operation: str, *options: str | Path) -> Ended:
        to = ("rollback", "--to", self.target) if operation == "rollback" else ("promote", self.target)
        return await hydra(*to, *options, "--config", self.installation.stack.config_file)

    async def drain(self, names: Iterable[str], how: str) -> None:
        """Take regions out of use; what is still set to run there stays as it is."""
        for name in names:
            region_id = self.world.regions[name].id
            if how == "drained":
                await self.installation.set(tables.regions, {"id": region_id}, can_schedule=False)
            else:
                await remove(self.installation, tables.regions, id=region_id)

    async def lose(self, names: Iterable[str]) -> None:
        """Let the target's pods in regions vanish, and none come."""
        for name in names:
            self.agents[name].behave(AgentBehaviour(dead=True), self.target)
            await until(partial(self._is_empty, name))

    async def _is_empty(self, name: str) -> bool:
        region_id = self.world.regions[name].id
        return not await self.installation.rows(tables.instances, deployment_id=self.target, region_id=region_id)

    async def topologies(self) -> dict[str, dict[str, Any]]:
        """Read the target's topologies by the name of their region."""
        names = {region.id: name for name, region in self.world.regions.items()}
        rows = await self.installation.rows(tables.deployment_topology, deployment_id=self.target)
        return {names[row["region_id"]]: row for row in rows}

    async def assert_moved(self) -> None:
        assert await self.installation.live(self.world) == self.target
        routes = await self.installation.routes(self.world)
        assert routes[f"shop-{self.world.workspace_slug}"] == self.target

    async def assert_not_moved(self) -> None:
        assert await self.installation.live(self.world) == self.live
        routes = await self.installation.routes(self.world)
        assert routes[f"shop-{self.world.workspace_slug}"] == self.live


async def rests(installation: Installation, deployment_id: str) -> bool:
    row = await installation.row(tables.deployments, id=deployment_id)
    return bool(row["desired_state"] == "standby") and not await installation.rows(
        tables.instances, deployment_id=deployment_id
    )


@asynccontextmanager
async def at_rest(installation: Installation, regions: int) -> AsyncIterator[Scene]:
    """Deploy twice, and wait until the first one rests, which is the target."""
    unique = uuid4().hex[:8]
    world = await installation.world(regions=tuple(f"{letter}-{unique}" for letter in "abc"[:regions]))
    async with region_agents(installation.database, world.regions.values(), QUICKLY, NO_HEARTBEAT) as agents:
        old, new = await installation.deployed(world), await installation.deployed(world)
        await until(lambda: rests(installation, old))
        yield Scene(installation, world, agents, live=new, target=old)


@asynccontextmanager
async def at_work(installation: Installation, regions: int) -> AsyncIterator[Scene]:
    """Roll back, so that the second one runs on, which is the target."""
    async with at_rest(installation, regions) as scene:
        await scene.take("rollback")
        yield Scene(installation, scene.world, scene.agents, live=scene.target, target=scene.live)


# -------------------------------------------------------------------------------------------------- some can schedule


@cases
async def test_a_target_at_rest_is_woken_where_something_may_run(
    installation: Installation, regions: int, operation: str, how: str
) -> None:
    async with at_rest(installation, regions) as scene:
        (out_of_use, *in_use) = scene.world.regions
        await scene.drain([out_of_use], how)
        await scene.lose([out_of_use])
        before = await scene.topologies()
        plan = await scene.plan(operation)
        began_s = time.monotonic()

        await scene.take(operation)

        assert time.monotonic() - began_s < AT_ONCE_S
        assert plan.wakes
        await scene.assert_moved()
        after = await scene.topologies()
        assert after[out_of_use] == before[out_of_use]
        assert before[out_of_use]["desired_status"] == "stopped"
        for name in in_use:
            assert after[name]["desired_status"] == "running"
            assert after[name]["version"] > before[name]["version"]


@cases
async def test_a_target_that_runs_has_to_be_healthy_where_something_may_run(
    installation: Installation, regions: int, operation: str, how: str
) -> None:
    """What is set to run in the region that is out of use stays so: the target is not stopped by this."""
    async with at_work(installation, regions) as scene:
        (out_of_use, *_) = scene.world.regions
        await scene.drain([out_of_use], how)
        await scene.lose([out_of_use])
        before = await scene.topologies()
        plan = await scene.plan(operation)
        began_s = time.monotonic()

        await scene.take(operation)

        assert time.monotonic() - began_s < AT_ONCE_S
        assert not plan.wakes
        await scene.assert_moved()
        assert await scene.topologies() == before


async def test_a_region_that_stays_drained_stands_in_no_way_a_second_time(installation: Installation) -> None:
    """The first way back has left the target stopped in the drained region, and running in the other."""
    async with at_rest(installation, 2) as scene:
        (out_of_use, in_use) = scene.world.regions
        await scene.drain([out_of_use], "drained")
        await scene.lose([out_of_use])
        await scene.take("rollback")
        forth = Scene(installation, scene.world, scene.agents, live=scene.target, target=scene.live)
        await forth.take("rollback")

        plan = await scene.plan("rollback")
        await scene.take("rollback")

        assert not plan.wakes
        await scene.assert_moved()
        statuses = {name: row["desired_status"] for name, row in (await scene.topologies()).items()}
        assert statuses == {out_of_use: "stopped", in_use: "running"}


# --------------------------------------------------------------------------------------------------- none can schedule


@pytest.mark.parametrize(
    ("regions", "operation", "how"), [(1, "rollback", "gone"), (2, "rollback", "drained"), (2, "promote", "gone")]
)
async def test_a_target_at_rest_that_may_run_nowhere_is_refused_at_once(
    installation: Installation, regions: int, operation: str, how: str
) -> None:
    async with at_rest(installation, regions) as scene:
        await scene.drain(scene.world.regions, how)
        before = await scene.topologies()
        began_s = time.monotonic()

        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await scene.take(operation)

        assert time.monotonic() - began_s < AT_ONCE_S
        assert raised.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        for name, region in scene.world.regions.items():
            assert (name if how == "drained" else region.id) in str(raised.value.details())
        await scene.assert_not_moved()
        assert await scene.topologies() == before
        assert await rests(installation, scene.target)
        (recorded,) = await installation.rows(
            tables.hydra_operations, to_deployment_id=scene.target, kind=operation, app_id=scene.world.app.id
        )
        assert (recorded["state"], recorded["reason"]) == ("failed", "NO_SCHEDULABLE_REGION")


@pytest.mark.parametrize("how", ["drained", "gone"])
@either
async def test_the_plan_of_what_may_run_nowhere_is_refused_with_the_same_words(
    installation: Installation, operation: str, how: str
) -> None:
    async with at_rest(installation, 2) as scene:
        await scene.drain(scene.world.regions, how)

        assert await scene.refused(operation) == "NO_SCHEDULABLE_REGION"


@either
async def test_the_commands_say_the_same(installation: Installation, operation: str) -> None:
    async with at_rest(installation, 2) as scene:
        (first, second) = scene.world.regions
        await scene.drain([first], "drained")
        await scene.lose([first])
        planned = await scene.command(operation, "--dry-run", "--json")
        await scene.drain([second], "drained")

        would, did = await scene.command(operation, "--dry-run"), await scene.command(operation)

        assert (planned.code, planned.document["woken"]) == (0, True)
        assert [(end.code, end.out) for end in (would, did)] == [(1, "")] * 2
        assert would.err == did.err
        assert would.err.endswith(" [NO_SCHEDULABLE_REGION]\n")
        assert all(name in would.err for name in (first, second))
        await scene.assert_not_moved()


@either
async def test_a_target_that_runs_healthily_takes_over_though_its_regions_are_drained(
    installation: Installation, operation: str
) -> None:
    async with at_work(installation, 2) as scene:
        await scene.drain(scene.world.regions, "drained")
        before = await scene.topologies()
        plan = await scene.plan(operation)

        await scene.take(operation)

        assert not plan.wakes
        await scene.assert_moved()
        assert await scene.topologies() == before


@either
async def test_a_target_that_runs_where_no_region_is_known_is_refused(
    installation: Installation, operation: str
) -> None:
    async with at_work(installation, 2) as scene:
        await scene.drain(scene.world.regions, "gone")

        assert await scene.refused(operation) == "NO_SCHEDULABLE_REGION"

        await scene.assert_not_moved()


async def test_the_confirmation_of_a_rollback_asks_for_no_region(installation: Installation) -> None:
    """Nothing is woken and no traffic moves."""
    async with at_rest(installation, 2) as scene:
        await scene.take("rollback")
        await scene.drain(scene.world.regions, "drained")

        await scene.take("promote")

        await scene.assert_moved()
        assert not (await installation.row(tables.apps, id=scene.world.app.id))["is_rolled_back"]
        await until(lambda: rests(installation, scene.live))
