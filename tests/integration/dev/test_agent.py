"""The simulated regional agent: what it makes of orders, what it reports, and what it survives."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table, delete, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database import tables
from service.database.dsn import parse
from service.database.engine import Database
from service.database.migrations import migrate
from service.dev.agent import AgentTiming, RegionAgent, region_agents
from service.dev.cluster_service import Region
from service.dev.workload import AgentBehaviour, Fate
from service.dev.world import World, WorldSpec, create_deployment, seed
from tests.servers.mariadb import MariaDB

QUICK = AgentTiming(
    poll=timedelta(milliseconds=10),
    poll_at_rest=timedelta(milliseconds=10),
    poll_others=timedelta(milliseconds=20),
    resync=timedelta(hours=1),
    heartbeat=timedelta(milliseconds=20),
    reconnect=timedelta(milliseconds=20),
)
AT_ONCE = AgentBehaviour(start_delay=timedelta())
_versions = iter(range(1, 1_000_000))


@dataclass
class Site:
    """A seeded world with one deployment in it, and the region that the agent under test has."""

    database: Database
    world: World
    region: Region
    deployment_id: str

    def agent(self, behaviour: AgentBehaviour = AT_ONCE, timing: AgentTiming = QUICK) -> RegionAgent:
        return RegionAgent(self.database, self.region, behaviour, timing)

    async def write(self, statement: Any) -> None:
        async def work(conn: AsyncConnection) -> None:
            await conn.execute(statement)

        await self.database.transact(work)

    async def order(self, status: str = "running", replicas: int = 2, deployment_id: str | None = None) -> None:
        """Order a deployment into the region; what was ordered before is replaced."""
        table, id_ = tables.deployment_topology, deployment_id or self.deployment_id
        await self.write(delete(table).where(table.c.deployment_id == id_, table.c.region_id == self.region.id))
        row: dict[str, Any] = {"workspace_id": self.world.workspace_id, "deployment_id": id_}
        row |= {
            "region_id": self.region.id,
            "desired_replicas": replicas,
            "desired_status": status,
            "version": next(_versions),
            "created_at": 1,
        }
        await self.write(table.insert().values(row))

    async def rows(self, table: Table, **where: str) -> list[dict[str, Any]]:
        async def read(conn: AsyncConnection) -> list[dict[str, Any]]:
            query = select(table).filter_by(**where).order_by(table.c.pk)
            return [row._asdict() for row in await conn.execute(query)]

        return await self.database.read(read)

    async def instances(self, deployment_id: str | None = None) -> list[dict[str, Any]]:
        return await self.rows(tables.instances, deployment_id=deployment_id or self.deployment_id)

    async def statuses(self, deployment_id: str | None = None) -> Counter[str]:
        return Counter(row["status"] for row in await self.instances(deployment_id))

    async def show(self, **expected: int) -> None:
        """Wait until the instances of the deployment are these, counted by status."""
        await eventually(self.statuses, Counter(expected))


async def eventually(look: Callable[[], Awaitable[Any]], expected: Any) -> None:
    deadline = time.monotonic() + 60
    while (seen := await look()) != expected:
        assert time.monotonic() < deadline, f"{seen} and not {expected}"
        await asyncio.sleep(0.005)


@pytest.fixture
async def site(database: Database) -> Site:
    return await new_site(database)


async def new_site(database: Database) -> Site:
    world = await seed(database, WorldSpec(workspace="agents"))
    app = world.app
    deployment_id = await create_deployment(database, app.id, app.environments["production"])
    return Site(database, world, world.regions["us-east-1"], deployment_id)


async def test_what_is_ordered_runs_and_what_is_stopped_goes(site: Site) -> None:
    await site.order(replicas=2)
    async with site.agent(AgentBehaviour(start_delay=timedelta(seconds=1))):
        await site.show(pending=2)
        pending = {row["id"]: row["k8s_name"] for row in await site.instances()}
        await site.show(running=2)
        assert {row["id"]: row["k8s_name"] for row in await site.instances()} == pending

        await site.order("stopped")
        await site.show()


async def test_an_instance_row_says_all_that_is_known_of_a_pod(site: Site) -> None:
    await site.write(update(tables.workspaces).values(k8s_namespace="ns1"))
    await site.order(replicas=1)
    async with site.agent():
        await site.show(running=1)

    (deployment,) = await site.rows(tables.deployments, id=site.deployment_id)
    (row,) = await site.instances()
    assert row["id"].startswith("ins_")
    assert row["k8s_name"].startswith(f"{deployment['k8s_name']}-")
    assert row["address"].endswith(".ns1.pod.cluster.local:8080")
    copied = ("workspace_id", "project_id", "app_id", "cpu_millicores", "memory_mib")
    assert {name: row[name] for name in copied} == {name: deployment[name] for name in copied}
    assert row["region_id"] == site.region.id


async def test_it_follows_orders_that_come_later_and_scales(site: Site) -> None:
    async with site.agent():
        await site.order(replicas=1)
        await site.show(running=1)
        first = await site.instances()
        await site.order(replicas=3)
        await site.show(running=3)
        assert (await site.instances())[:1] == first
        await site.order(replicas=1)
        await site.show(running=1)
        assert await site.instances() == first


async def test_it_follows_more_orders_than_one_poll_takes(site: Site) -> None:
    app = site.world.app
    ids = [await create_deployment(site.database, app.id, app.environments["preview"]) for _ in range(230)]
    for id_ in ids:
        await site.order(replicas=1, deployment_id=id_)

    async def running() -> set[str]:
        return {row["deployment_id"] for row in await site.rows(tables.instances, status="running")}

    async with site.agent():
        await eventually(running, set(ids))


async def test_it_minds_its_own_region_only(site: Site) -> None:
    await site.order(replicas=1)
    elsewhere = RegionAgent(site.database, site.world.regions["eu-central-1"], AT_ONCE, QUICK)
    async with elsewhere:
        await asyncio.sleep(0.2)
        assert await site.instances() == []


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (replace(AT_ONCE, fate=Fate.FAIL), {"failed": 2}),
        (replace(AT_ONCE, fate=Fate.PEND), {"pending": 2}),
        (replace(AT_ONCE, fail_probability=1.0), {"failed": 2}),
        (AgentBehaviour(start_delay=timedelta(hours=1), starts_unready=True), {"failed": 2}),
    ],
)
async def test_its_behaviour_can_be_changed(site: Site, behaviour: AgentBehaviour, expected: dict[str, int]) -> None:
    await site.order()
    async with site.agent(behaviour) as agent:
        await site.show(**expected)
        agent.behave(AT_ONCE)
        await site.show(running=2)


async def test_one_deployment_can_be_treated_apart(site: Site) -> None:
    other = await create_deployment(site.database, site.world.app.id, site.world.app.environments["preview"])
    async with site.agent() as agent:
        agent.behave(replace(AT_ONCE, fate=Fate.FAIL), site.deployment_id)
        await site.order()
        await site.order(deployment_id=other)
        await site.show(failed=2)
        await eventually(partial(site.statuses, other), Counter(running=2))

        agent.behave(replace(AT_ONCE, dead=True), site.deployment_id)
        await site.show()
        agent.behave(AT_ONCE, site.deployment_id)
        await site.show(running=2)


async def test_another_image_replaces_the_instances_and_those_of_before_go_late(site: Site) -> None:
    await site.order(replicas=1)
    async with site.agent(replace(AT_ONCE, stop_delay=timedelta(seconds=1))):
        await site.show(running=1)
        (first,) = await site.instances()
        table = tables.deployments
        await site.write(update(table).where(table.c.id == site.deployment_id).values(image="shop:2"))
        await site.order(replicas=1)
        await site.show(running=2)
        await site.show(running=1)
        (second,) = await site.instances()
        assert second["k8s_name"] != first["k8s_name"]

        await site.order("stopped")
        await asyncio.sleep(0.2)
        assert await site.instances() == [second]
        await site.show()


async def test_instances_flap(site: Site) -> None:
    flapping = replace(AT_ONCE, fate=Fate.FLAP, flap_period=timedelta(milliseconds=100))
    await site.order(replicas=1)
    async with site.agent(flapping):
        for _ in range(2):
            await site.show(running=1)
            await site.show(failed=1)


async def test_a_dead_region_does_nothing_until_it_lives(site: Site) -> None:
    await site.order()
    async with site.agent(replace(AT_ONCE, dead=True)) as agent:
        await asyncio.sleep(0.2)
        assert await site.instances() == []
        assert await site.rows(tables.clusters) == []
        agent.behave(AT_ONCE)
        await site.show(running=2)


async def test_what_runs_outlives_the_agent(site: Site) -> None:
    await site.order()
    async with site.agent():
        await site.show(running=2)
    before = await site.instances()

    slow = AgentBehaviour(start_delay=timedelta(hours=1))
    async with site.agent(slow):
        await asyncio.sleep(0.2)
        assert await site.instances() == before
        await site.order("stopped")
        await site.show()


async def test_a_stop_that_came_while_it_was_away_is_seen(site: Site) -> None:
    await site.order()
    async with site.agent():
        await site.show(running=2)
    await site.order("stopped")

    async with site.agent():
        await site.show()


async def test_a_deleted_order_is_noticed_by_the_resync(site: Site) -> None:
    await site.order()
    async with site.agent(timing=replace(QUICK, resync=timedelta(milliseconds=300))):
        await site.show(running=2)
        table = tables.deployment_topology
        await site.write(delete(table).where(table.c.deployment_id == site.deployment_id))
        await site.show()


async def test_the_resync_asks_for_the_desired_state_of_the_deployment(site: Site) -> None:
    await site.order()
    async with site.agent(timing=replace(QUICK, resync=timedelta(milliseconds=100))):
        await site.show(running=2)
        await asyncio.sleep(0.3)
        assert await site.statuses() == Counter(running=2)
        table = tables.deployments
        await site.write(update(table).where(table.c.id == site.deployment_id).values(desired_state="archived"))
        await site.show()


async def test_the_region_and_its_cluster_are_made_known_and_kept_alive(site: Site) -> None:
    region = Region("rgn_new00000", "mars-north-1", "sim")
    async with RegionAgent(site.database, region, AT_ONCE, QUICK):

        async def known() -> bool:
            return bool(await site.rows(tables.clusters, region_id=region.id))

        await eventually(known, expected=True)
        (first,) = await site.rows(tables.clusters, region_id=region.id)
        (row,) = await site.rows(tables.regions, id=region.id)
        assert (row["name"], row["platform"], row["can_schedule"]) == ("mars-north-1", "sim", True)

        async def beats() -> bool:
            (row,) = await site.rows(tables.clusters, region_id=region.id)
            return bool(row["id"] == first["id"] and row["last_heartbeat_at"] > first["last_heartbeat_at"])

        await eventually(beats, expected=True)
    assert abs(first["last_heartbeat_at"] - time.time() * 1000) < 60_000


async def test_sentinels_come_up_and_go(site: Site) -> None:
    row = {
        "id": "s_1",
        "workspace_id": site.world.workspace_id,
        "project_id": site.world.project_id,
        "environment_id": site.world.app.environments["production"],
        "k8s_name": "sentinel1",
        "k8s_address": "sentinel1.sentinel.svc.cluster.local:8040",
        "region_id": site.region.id,
        "image": "sentinel:1",
        "health": "unknown",
        "desired_replicas": 3,
        "available_replicas": 0,
        "cpu_millicores": 256,
        "memory_mib": 256,
        "version": next(_versions),
        "created_at": 1,
    }

    async def health() -> tuple[str, int]:
        (found,) = await site.rows(tables.sentinels)
        return found["health"], found["available_replicas"]

    await site.write(tables.sentinels.insert().values(row))
    async with site.agent():
        await eventually(health, ("healthy", 3))
        for change, expected in (
            ({"desired_state": "archived"}, ("unhealthy", 0)),
            ({"desired_state": "running", "desired_replicas": 0}, ("paused", 0)),
            ({"desired_replicas": 1}, ("healthy", 1)),
        ):
            await site.write(update(tables.sentinels).values(version=next(_versions), **change))
            await eventually(health, expected)


async def test_policies_are_applied(site: Site) -> None:
    row = {
        "id": "net_1",
        "workspace_id": site.world.workspace_id,
        "project_id": site.world.project_id,
        "app_id": site.world.app.id,
        "environment_id": site.world.app.environments["production"],
        "deployment_id": site.deployment_id,
        "k8s_name": "sentinel-ingress-to-x",
        "k8s_namespace": "ns",
        "region_id": site.region.id,
        "policy": {"kind": "CiliumNetworkPolicy"},
        "version": next(_versions),
        "created_at": 1,
    }
    await site.write(tables.cilium_network_policies.insert().values(row))
    async with site.agent() as agent:

        async def applied() -> dict[str, Any]:
            return dict(agent.policies)

        await eventually(applied, {"sentinel-ingress-to-x": {"kind": "CiliumNetworkPolicy"}})
        changed = {"policy": {"kind": "Other"}, "version": next(_versions)}
        await site.write(update(tables.cilium_network_policies).values(**changed))
        await eventually(applied, {"sentinel-ingress-to-x": {"kind": "Other"}})


async def test_a_deployment_that_vanished_is_passed_over(site: Site) -> None:
    await site.order()
    async with site.agent(AgentBehaviour(start_delay=timedelta(seconds=1))) as agent:
        await site.show(pending=2)
        await site.write(delete(tables.deployments).where(tables.deployments.c.id == site.deployment_id))
        agent.behave(replace(AT_ONCE, fate=Fate.FAIL))
        await site.show()


async def test_agents_of_all_regions_run_together(site: Site) -> None:
    async with region_agents(site.database, site.world.regions.values(), AT_ONCE, QUICK) as agents:
        assert list(agents) == ["us-east-1", "eu-central-1", "ap-southeast-1"]
        agents["eu-central-1"].behave(replace(AT_ONCE, fate=Fate.FAIL))
        for region in site.world.regions.values():
            await replace(site, region=region).order(replicas=1)
        await site.show(running=2, failed=1)


@pytest.mark.usefixtures("mariadb")  # skips where there is none; the server here is one to be killed
async def test_trouble_with_the_database_is_waited_out(tmp_path: Path) -> None:
    server = MariaDB(tmp_path / "mariadb")
    await server.start()
    database = await Database.open(parse(await server.create_database()))
    await migrate(database)
    site = await new_site(database)
    async with site.agent(AgentBehaviour(start_delay=timedelta(seconds=1))):
        await site.order()
        await site.show(pending=2)
        await server.kill()
        await asyncio.sleep(0.5)
        await server.start()
        await database.wait_until_reachable()
        await site.show(running=2)
        await site.order("stopped")
        await site.show()
    await database.close()
    await server.stop()


async def test_a_fault_of_its_own_is_not_hidden(site: Site) -> None:
    async def break_down() -> None:
        others = asyncio.all_tasks()
        async with site.agent():
            (at_work,) = asyncio.all_tasks() - others
            await site.write(text("DROP TABLE instances"))
            await site.order()
            await asyncio.wait([at_work])

    with pytest.raises(DBAPIError, match="instances"):
        await break_down()
