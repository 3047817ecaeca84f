"""A deployment that is deployed again after a failure: what the first attempt left does not vouch for the second."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import grpc.aio
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database import tables
from service.dev.agent import AgentTiming, region_agents
from service.dev.stack import LocalStack
from service.dev.workload import AgentBehaviour, Fate
from tests.installation import IMAGE, Installation, stack_options
from tests.integration.reconciling.test_dead_operations import ended, under_way
from tests.integration.reconciling.test_lost import remove
from tests.servers.mariadb import MariaDB
from tests.waiting import appears, until

ANOTHER_IMAGE = "registry.example.com/acme/shop:2.0"
REGIONS = 3
QUICKLY = timedelta(milliseconds=20)
EACH_SECOND = AgentTiming(poll=timedelta(seconds=1), poll_at_rest=timedelta(seconds=1))
LAG_S = 3  # of agents that end pods slowly


@pytest.fixture(scope="module")
async def steadfast(server: MariaDB | None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    """Run an installation that waits for longer than old pods have to hold still, and whose regions are counted."""
    folder = tmp_path_factory.mktemp("steadfast")
    options = stack_options(folder, await server.create_database() if server else "", {"health_timeout": '"40s"'})
    async with Installation(LocalStack(folder, options)) as running:
        await running.deployed(await running.world())
        yield running


async def shown(installation: Installation, deployment_id: str) -> list[dict[str, Any]]:
    return await installation.rows(tables.instances, deployment_id=deployment_id)


async def show(installation: Installation, instances: list[dict[str, Any]]) -> None:
    """Write what agents report, in the name of those that have not ended these pods yet."""

    async def work(conn: AsyncConnection) -> None:
        rows = [{name: value for name, value in row.items() if name != "pk"} for row in instances]
        await conn.execute(tables.instances.insert(), rows)

    await installation.database.transact(work)


async def show_in_all_regions(installation: Installation, deployment_id: str) -> None:
    async def all_run() -> bool:
        rows = await shown(installation, deployment_id)
        return [row["status"] for row in rows] == ["running"] * REGIONS

    await until(all_run)


async def topologies(installation: Installation, deployment_id: str) -> dict[str, tuple[str, int]]:
    """Read region → desired status and version."""
    rows = await installation.rows(tables.deployment_topology, deployment_id=deployment_id)
    return {row["region_id"]: (row["desired_status"], row["version"]) for row in rows}


async def killed(installation: Installation, deployment_id: str) -> None:
    """Deploy IMAGE, and end that from outside, with nothing undone, once its pods run."""
    async with under_way(installation, deployment_id, "await healthy regions.before") as operation:
        await installation.kill(operation)
        await ended(installation, operation)
    await show_in_all_regions(installation, deployment_id)


async def undone_at_work(
    installation: Installation, deployment_id: str, end: str = "cancelled"
) -> list[dict[str, Any]]:
    """Deploy IMAGE until its pods run, and have that failed or cancelled; returns the pods."""
    async with installation.held("reserve names.before") as reached:
        call = asyncio.ensure_future(installation.deploy(deployment_id, image=IMAGE))
        await appears(reached)
        await show_in_all_regions(installation, deployment_id)
        pods = await shown(installation, deployment_id)
        if end == "failed":
            await installation.set(tables.deployments, {"id": deployment_id}, desired_state="standby")
        else:
            await installation.cancel(await installation.operation(deployment_id))
    with pytest.raises(grpc.aio.AioRpcError):
        await call
    assert await installation.status(deployment_id) == "failed"
    return pods


async def undone(installation: Installation, deployment_id: str, end: str) -> list[dict[str, Any]]:
    """Do as `undone_at_work`, and wait until the pods are gone."""
    pods = await undone_at_work(installation, deployment_id, end)

    async def gone() -> bool:
        return not await shown(installation, deployment_id)

    await until(gone)
    return pods


@pytest.mark.parametrize("end", ["failed", "cancelled"])
async def test_pods_of_an_attempt_that_was_undone_and_end_slowly_vouch_for_nobody(
    installation: Installation, end: str
) -> None:
    """Of the second attempt's image no pod ever shows; the first one's are still there for a while."""
    world = await installation.world()
    live = await installation.deployed(world)
    deployment_id = await installation.deployment(world)
    pods = await undone(installation, deployment_id, end)
    for agent in installation.agents.values():
        agent.behave(AgentBehaviour(dead=True), deployment_id)
    await show(installation, pods)

    second = asyncio.ensure_future(installation.deploy(deployment_id, image=ANOTHER_IMAGE, timeout=60))
    await asyncio.wait({second}, timeout=LAG_S)
    await remove(installation, tables.instances, deployment_id=deployment_id)

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await second
    assert raised.value.code() is grpc.StatusCode.ABORTED
    assert await installation.status(deployment_id) == "failed"
    assert await installation.live(world) == live


async def test_pods_of_another_image_that_take_their_time_to_stop_vouch_for_nobody(installation: Installation) -> None:
    """Agents look for orders once a second, as the real ones do. No pod of the second image becomes healthy."""
    unique = uuid4().hex[:8]
    world = await installation.world(regions=tuple(f"{letter}-{unique}" for letter in "abc"))
    slow = AgentBehaviour(QUICKLY, stop_delay=timedelta(seconds=LAG_S))
    async with region_agents(installation.database, world.regions.values(), slow, EACH_SECOND) as agents:
        live = await installation.deployed(world)
        deployment_id = await installation.deployment(world)
        await undone_at_work(installation, deployment_id)
        await asyncio.sleep(1.5)  # they have heard that it is stopped
        for agent in agents.values():
            agent.behave(replace(slow, fate=Fate.PEND), deployment_id)
        assert [row["status"] for row in await shown(installation, deployment_id)] == ["running"] * REGIONS

        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await installation.deploy(deployment_id, image=ANOTHER_IMAGE, timeout=60)

        assert raised.value.code() is grpc.StatusCode.ABORTED
        assert await installation.live(world) == live


async def test_a_second_attempt_is_ready_with_pods_of_its_own_while_old_ones_end(steadfast: Installation) -> None:
    """They do not stand in its way either: in the same region, and for as long as they are there."""
    world = await steadfast.world()
    deployment_id = await steadfast.deployment(world)
    pods = await undone(steadfast, deployment_id, "cancelled")
    for agent in steadfast.agents.values():
        agent.behave(AgentBehaviour(dead=True), deployment_id)
    await show(steadfast, pods)

    second = asyncio.ensure_future(steadfast.deploy(deployment_id, image=ANOTHER_IMAGE, timeout=60))
    await asyncio.wait({second}, timeout=LAG_S)
    assert not second.done()
    assert await steadfast.live(world) is None
    for agent in steadfast.agents.values():
        agent.behave(AgentBehaviour(), deployment_id)  # which reports its own pods, and that the others are gone
    await second

    assert await steadfast.live(world) == deployment_id
    assert {row["id"] for row in await shown(steadfast, deployment_id)}.isdisjoint(row["id"] for row in pods)


async def test_agents_hear_of_the_image_of_a_second_attempt(steadfast: Installation) -> None:
    """The first attempt was killed: its topologies still run, and look as the second one wants them."""
    world = await steadfast.world()
    deployment_id = await steadfast.deployment(world)
    await killed(steadfast, deployment_id)
    before = await topologies(steadfast, deployment_id)

    await steadfast.deploy(deployment_id, image=ANOTHER_IMAGE, timeout=60)

    after = await topologies(steadfast, deployment_id)
    assert len(after) == REGIONS
    for region_id, (status, version) in after.items():
        assert status == "running"
        assert version > before[region_id][1]


async def test_a_second_attempt_stops_the_first_where_it_does_not_go_itself(steadfast: Installation) -> None:
    """A region is taken out of the app's settings in between."""
    world = await steadfast.world()
    deployment_id = await steadfast.deployment(world)
    await killed(steadfast, deployment_id)
    before = await topologies(steadfast, deployment_id)
    (left, *_) = sorted(before)
    await remove(steadfast, tables.app_regional_settings, app_id=world.app.id, region_id=left)

    await steadfast.deploy(deployment_id, image=ANOTHER_IMAGE, timeout=60)

    after = await topologies(steadfast, deployment_id)
    assert {region_id: status for region_id, (status, _) in after.items()} == {
        region_id: "stopped" if region_id == left else "running" for region_id in before
    }
    assert all(version > before[region_id][1] for region_id, (_, version) in after.items())

    async def gone() -> bool:
        return left not in {row["region_id"] for row in await shown(steadfast, deployment_id)}

    await until(gone)  # its agent has heard of it
    assert await steadfast.status(deployment_id) == "ready"


async def test_pods_of_a_killed_attempt_that_stay_are_taken_over(steadfast: Installation) -> None:
    """The same image: there are no others to come."""
    world = await steadfast.world()
    deployment_id = await steadfast.deployment(world)
    await killed(steadfast, deployment_id)
    before = await shown(steadfast, deployment_id)

    await steadfast.deploy(deployment_id, image=IMAGE, timeout=60)

    assert await steadfast.status(deployment_id) == "ready"
    assert await steadfast.live(world) == deployment_id
    assert await shown(steadfast, deployment_id) == before
