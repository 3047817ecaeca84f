"""Two rollbacks or promotes that wake one deployment: the end of one does not put it to rest under the other."""

import asyncio
from typing import Any

import pytest

from service.database import tables
from service.dev.workload import AgentBehaviour
from service.dev.world import World
from tests.installation import Answer, Installation
from tests.integration.reconciling.rounds import ROUND
from tests.integration.reconciling.test_dead_operations import ended
from tests.integration.test_traffic import assert_live, desired, rests, rollback, two_deployed
from tests.reporting_site import ReportingSite
from tests.waiting import appears, until

pytestmark = pytest.mark.usefixtures("in_order")

DEAD = AgentBehaviour(dead=True)


async def asleep(installation: Installation) -> tuple[World, str, str]:
    """Deploy twice, and wait until what was replaced rests; it does not wake before `wakes`."""
    world, a, b = await two_deployed(installation)
    await rests(installation, a)
    behave(installation, a, DEAD)
    return world, a, b


def behave(installation: Installation, deployment_id: str, behaviour: AgentBehaviour) -> None:
    for agent in installation.agents.values():
        agent.behave(behaviour, deployment_id)


async def move(installation: Installation, kind: str, source: str, target: str) -> str:
    """Ask for a rollback or a promote, without waiting; returns the operation's id."""
    body = {"targetDeploymentId": target}
    if kind == "rollback":
        body["sourceDeploymentId"] = source
    answer = await installation.ingress(f"/hydra.v1.DeployService/k/{kind.title()}/send", body)
    return str(answer.body["invocationId"])


async def end_of(installation: Installation, operation_id: str) -> Answer:
    return await installation.ingress(f"/restate/invocation/{operation_id}/attach", method="GET")


async def end(installation: Installation, operation_id: str, way: str) -> None:
    """Cancel an operation and wait until it is undone, or kill it and have a round undo it."""
    if way == "cancel":
        await installation.cancel(operation_id)
        await ended(installation, operation_id)
        return
    await installation.kill(operation_id)
    await ended(installation, operation_id)
    answer = await installation.ingress(ROUND, {})
    assert operation_id in [each["subject"] for each in answer.body["findings"]]


async def waits_for_health(installation: Installation, *operation_ids: str) -> None:
    """Wait until operations have woken their target, and nothing is left but to wait for its instances."""
    listed = ", ".join(f"'{each}'" for each in operation_ids)

    async def waiting() -> bool:
        rows = await installation.admin_query(
            f"select id from sys_journal where id in ({listed}) and entry_type = 'Command: Run' "
            "and name = 'await healthy regions'"
        )
        return {row["id"] for row in rows} == set(operation_ids)

    await until(waiting)


async def checked(installation: Installation, world: World, count: int) -> None:
    """Wait until so many moves of the app's traffic have been let through."""

    async def are_there() -> bool:
        rows = await installation.rows(tables.hydra_operations, app_id=world.app.id, state="running")
        return len(rows) == count

    await until(are_there)


async def stays(installation: Installation, deployment_id: str, state: str) -> None:
    """Check that nothing changes what a deployment is to do: what would do so comes at once."""
    for _ in range(20):
        assert await desired(installation, deployment_id) == state
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("way", ["cancel", "kill"])
@pytest.mark.parametrize("kind", ["rollback", "promote"])
async def test_one_goes_on_when_the_other_ends(reconciled: ReportingSite, kind: str, way: str) -> None:
    """Both were checked while the target rested."""
    installation = reconciled.installation
    world, a, b = await asleep(installation)
    async with installation.held("wake deployment.before") as reached:
        first = await move(installation, "rollback", b, a)
        second = await move(installation, kind, b, a)
        await appears(reached)
        await checked(installation, world, 2)
    await waits_for_health(installation, first, second)

    await end(installation, second, way)
    await stays(installation, a, "running")
    behave(installation, a, AgentBehaviour())

    answer = await end_of(installation, first)
    assert (answer.status, answer.body) == (200, {})
    await assert_live(installation, world, a, rolled_back=True)
    assert await desired(installation, a) == "running"


@pytest.mark.parametrize("way", ["cancel", "kill"])
@pytest.mark.parametrize("kind", ["rollback", "promote"])
async def test_the_last_one_to_end_puts_it_back_to_rest(reconciled: ReportingSite, kind: str, way: str) -> None:
    installation = reconciled.installation
    world, a, b = await asleep(installation)
    async with installation.held("wake deployment.before") as reached:
        first = await move(installation, "rollback", b, a)
        second = await move(installation, kind, b, a)
        await appears(reached)
        await checked(installation, world, 2)
    await waits_for_health(installation, first, second)

    await end(installation, second, way)
    await stays(installation, a, "running")
    await end(installation, first, way)

    await at_rest_within_seconds(installation, a)
    await assert_live(installation, world, b, rolled_back=False)


@pytest.mark.parametrize("kind", ["rollback", "promote"])
async def test_what_one_that_was_killed_has_woken_rests_again(reconciled: ReportingSite, kind: str) -> None:
    installation = reconciled.installation
    world, a, b = await asleep(installation)
    operation = await move(installation, kind, b, a)
    await waits_for_health(installation, operation)

    await end(installation, operation, "kill")

    await at_rest_within_seconds(installation, a)
    await assert_live(installation, world, b, rolled_back=False)
    assert await quick_findings(installation, a) == []


async def test_what_one_that_was_killed_has_woken_rests_again_though_it_was_never_live(
    reconciled: ReportingSite,
) -> None:
    """It was deployed while the app was rolled back, and stopped by hand: no record says that it lost a place."""
    installation = reconciled.installation
    world, a, b = await two_deployed(installation)
    await rollback(installation, b, a)
    unrouted = await installation.deployed(world)
    behave(installation, unrouted, DEAD)
    await installation.set(tables.deployments, {"id": unrouted}, desired_state="standby")
    await installation.set(tables.deployment_topology, {"deployment_id": unrouted}, desired_status="stopped")
    operation = await move(installation, "promote", a, unrouted)
    await waits_for_health(installation, operation)

    await end(installation, operation, "kill")

    await at_rest_within_seconds(installation, unrouted)
    await assert_live(installation, world, a, rolled_back=True)


async def at_rest_within_seconds(installation: Installation, deployment_id: str) -> None:
    async with asyncio.timeout(10):
        await rests(installation, deployment_id)
    topologies = await installation.rows(tables.deployment_topology, deployment_id=deployment_id)
    assert {row["desired_status"] for row in topologies} == {"stopped"}


async def quick_findings(installation: Installation, subject: str) -> list[dict[str, Any]]:
    answer = await installation.ingress(ROUND, {})
    return [each for each in answer.body.get("findings", []) if each["subject"] == subject]
