"""What is live runs: what stops it is undone by any round, and no round and no cancellation stops it."""

from typing import Any

import pytest

from service.database import tables
from service.dev.world import World
from tests.command import hydra
from tests.installation import Installation
from tests.integration.reconciling.rounds import ROUND
from tests.integration.reconciling.test_lost import remove, topologies
from tests.invariants import holds
from tests.reporting_site import ReportingSite
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("in_order")


async def quick_round(installation: Installation, subject: str, *, dry_run: bool = False) -> list[tuple[str, str]]:
    """Go a round that looks at the most urgent alone; returns kind and fate of what it found of one subject."""
    answer = await installation.ingress(ROUND, {"dryRun": dry_run, "thorough": False})
    assert answer.status == 200, answer.body
    return [
        (each["kind"], each["fate"].removeprefix("RECONCILE_FATE_"))
        for each in answer.body.get("findings", [])
        if each["subject"] == subject
    ]


async def stop_behind_the_services_back(installation: Installation, deployment_id: str, **values: Any) -> None:
    await installation.set(tables.deployments, {"id": deployment_id}, **values)
    await installation.set(tables.deployment_topology, {"deployment_id": deployment_id}, desired_status="stopped")


async def two_live(installation: Installation) -> tuple[World, str]:
    """Deploy twice; gives what is live."""
    world = await installation.world()
    await installation.deployed(world)
    return world, await installation.deployed(world)


async def versions(installation: Installation, deployment_id: str) -> dict[str, int]:
    rows = await installation.rows(tables.deployment_topology, deployment_id=deployment_id)
    return {row["region_id"]: row["version"] for row in rows}


@pytest.mark.parametrize("state", ["standby", "archived"])
async def test_what_is_live_and_was_put_to_rest_runs_again(reconciled: ReportingSite, state: str) -> None:
    installation = reconciled.installation
    world, live = await two_live(installation)
    await stop_behind_the_services_back(installation, live, desired_state=state)
    before = await versions(installation, live)

    assert await quick_round(installation, live, dry_run=True) == [("LIVE_NOT_RUNNING", "WOULD_SETTLE")]
    assert await versions(installation, live) == before
    assert await topologies(installation, live) == {}
    assert await quick_round(installation, live) == [("LIVE_NOT_RUNNING", "SETTLED")]

    after = await topologies(installation, live)
    assert after.keys() == before.keys()
    assert all(after[region] > before[region] for region in before)  # the agents' stream shows it
    assert await quick_round(installation, live) == []
    assert await installation.live(world) == live
    await holds(installation, world, instances=True)


@pytest.mark.parametrize("state", ["standby", "archived"])
async def test_what_is_live_is_not_stopped_although_it_is_to_rest(reconciled: ReportingSite, state: str) -> None:
    """Its topologies run still: they are not what is wrong."""
    installation = reconciled.installation
    world, live = await two_live(installation)
    await installation.set(tables.deployments, {"id": live}, desired_state=state)
    before = await topologies(installation, live)

    assert await quick_round(installation, live) == [("LIVE_NOT_RUNNING", "SETTLED")]

    assert (await topologies(installation, live)).keys() == before.keys()
    assert await quick_round(installation, live) == []
    await holds(installation, world, instances=True)


async def test_what_is_live_and_has_no_topology_that_runs_runs_again(reconciled: ReportingSite) -> None:
    installation = reconciled.installation
    world, live = await two_live(installation)
    await installation.set(tables.deployment_topology, {"deployment_id": live}, desired_status="stopped")

    assert await quick_round(installation, live) == [("LIVE_NOT_RUNNING", "SETTLED")]

    assert len(await topologies(installation, live)) == 3
    assert await quick_round(installation, live) == []
    await holds(installation, world, instances=True)


async def test_what_is_live_and_was_left_in_the_middle_of_a_deploy_is_ready_again(reconciled: ReportingSite) -> None:
    installation = reconciled.installation
    world, live = await two_live(installation)
    await installation.set(tables.deployments, {"id": live}, status="finalizing")

    assert await quick_round(installation, live) == [("LIVE_NOT_RUNNING", "SETTLED")]

    assert await installation.status(live) == "ready"
    assert await quick_round(installation, live) == []
    await holds(installation, world, instances=True)


@pytest.mark.parametrize("topology", ["running", "stopped"])
async def test_what_is_live_and_failed_is_set_running_and_never_stopped(
    reconciled: ReportingSite, topology: str
) -> None:
    """What traffic leads to is ready, whatever an earlier worker has made of it."""
    installation = reconciled.installation
    _, live = await two_live(installation)
    await installation.set(tables.deployments, {"id": live}, status="failed", desired_state="archived")
    await installation.set(tables.deployment_topology, {"deployment_id": live}, desired_status=topology)

    first = await quick_round(installation, live)
    again = await quick_round(installation, live)

    assert (first, again) == ([("LIVE_NOT_RUNNING", "SETTLED")], [])
    assert len(await topologies(installation, live)) == 3
    row = await installation.row(tables.deployments, id=live)
    assert (row["status"], row["desired_state"]) == ("ready", "running")


@pytest.mark.out_of_order("nobody can set running what has no topology")
async def test_what_is_live_and_can_run_nowhere_is_left_to_an_operator(reconciled: ReportingSite) -> None:
    installation = reconciled.installation
    _, live = await two_live(installation)
    await installation.set(tables.deployments, {"id": live}, desired_state="standby")
    await remove(installation, tables.deployment_topology, deployment_id=live)

    assert await quick_round(installation, live, dry_run=True) == [("LIVE_NOT_RUNNING", "LEFT")]
    assert await quick_round(installation, live) == [("LIVE_NOT_RUNNING", "LEFT")]


async def test_what_is_live_is_not_cancelled(reconciled: ReportingSite) -> None:
    """Although its row says that a deploy of it is under way: nobody works on it."""
    installation = reconciled.installation
    _, live = await two_live(installation)
    await installation.set(tables.deployments, {"id": live}, status="finalizing")
    before = await installation.row(tables.deployments, id=live)
    operations = await installation.rows(tables.hydra_operations, deployment_id=live)

    told = await hydra("cancel", live, "--config", installation.stack.config_file)

    assert (told.code, told.out) == (1, "")
    assert "[DEPLOYMENT_IS_LIVE]" in told.err
    assert await installation.row(tables.deployments, id=live) == before
    assert await installation.rows(tables.hydra_operations, deployment_id=live) == operations
    attempt = await installation.row(tables.hydra_deployment_attempts, deployment_id=live)
    assert attempt["state"] == "succeeded"
    await quick_round(installation, live)
    assert len(await topologies(installation, live)) == 3

    async def is_ready() -> bool:
        return await installation.status(live) == "ready"

    await until(is_ready)
