"""What a deployment is to do, now or later: DeploymentService, called from inside Restate (02 · 5)."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from hydra.v1 import deployment_pb2

from service.database import tables
from service.dev.process import Process
from service.dev.world import World
from service.errors import FailedPrecondition, InvalidArgument
from tests.inside_caller import InsideCaller
from tests.installation import Installation
from tests.waiting import until

SERVICE = "hydra.v1.DeploymentService"
RUNNING = deployment_pb2.DEPLOYMENT_DESIRED_STATE_RUNNING
STANDBY = deployment_pb2.DEPLOYMENT_DESIRED_STATE_STANDBY
ARCHIVED = deployment_pb2.DEPLOYMENT_DESIRED_STATE_ARCHIVED
UNSPECIFIED = deployment_pb2.DEPLOYMENT_DESIRED_STATE_UNSPECIFIED
HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
async def inside(installation: Installation) -> AsyncIterator[InsideCaller]:
    async with InsideCaller(installation) as caller:
        yield caller


async def schedule(inside: InsideCaller, deployment_id: str, state: int, delay_ms: int = HOUR_MS) -> None:
    request = deployment_pb2.ScheduleDesiredStateChangeRequest(delay_millis=delay_ms, state=numbered(state))
    await inside.call(SERVICE, "ScheduleDesiredStateChange", deployment_id, request)


async def change(inside: InsideCaller, deployment_id: str, nonce: str, state: int) -> None:
    """Do what the delayed message does when it arrives."""
    request = deployment_pb2.ChangeDesiredStateRequest(nonce=nonce, state=numbered(state))
    await inside.call(SERVICE, "ChangeDesiredState", deployment_id, request)


def numbered(state: int) -> deployment_pb2.DeploymentDesiredState:
    """Make an enum value of any number: what another release sends may not be in ours."""
    return cast("deployment_pb2.DeploymentDesiredState", state)


async def clear(inside: InsideCaller, deployment_id: str) -> None:
    request = deployment_pb2.ClearScheduledStateChangesRequest()
    await inside.call(SERVICE, "ClearScheduledStateChanges", deployment_id, request)


async def pending(inside: InsideCaller, deployment_id: str) -> Any:
    return (await inside.state(SERVICE, deployment_id)).get("transition")


async def preview(installation: Installation) -> tuple[World, str]:
    """Deploy to an environment without a live pointer, so that nothing protects the deployment."""
    world = await installation.world()
    return world, await installation.deployed(world, "preview")


async def desired(installation: Installation, deployment_id: str) -> tuple[str, set[str]]:
    """Read the desired state of a deployment, and the desired status of its topologies."""
    deployment = await installation.row(tables.deployments, id=deployment_id)
    topologies = await installation.rows(tables.deployment_topology, deployment_id=deployment_id)
    return deployment["desired_state"], {row["desired_status"] for row in topologies}


async def versions(installation: Installation, deployment_id: str) -> dict[str, int]:
    rows = await installation.rows(tables.deployment_topology, deployment_id=deployment_id)
    return {row["region_id"]: row["version"] for row in rows}


async def test_a_schedule_is_kept_as_the_go_worker_keeps_it(installation: Installation, inside: InsideCaller) -> None:
    _, deployment_id = await preview(installation)
    await schedule(inside, deployment_id, STANDBY)

    kept = await pending(inside, deployment_id)
    assert set(kept) == {"Nonce", "To"}
    assert isinstance(kept["Nonce"], str)
    assert kept["Nonce"]
    assert kept["To"] == 2


@pytest.mark.parametrize(
    ("to", "state", "topologies"), [(STANDBY, "standby", "stopped"), (ARCHIVED, "archived", "stopped")]
)
async def test_a_change_stops_every_topology_under_new_versions(
    installation: Installation, inside: InsideCaller, to: int, state: str, topologies: str
) -> None:
    _, deployment_id = await preview(installation)
    before = await versions(installation, deployment_id)
    await schedule(inside, deployment_id, to, delay_ms=0)

    await until_desired(installation, deployment_id, state, topologies)
    after = await versions(installation, deployment_id)
    assert len(after) == 3
    assert all(after[region_id] > before[region_id] for region_id in before)
    for region_id, version in after.items():
        counter = await installation.row(tables.hydra_region_versions, region_id=region_id)
        assert counter["version"] >= version
    assert await pending(inside, deployment_id) is None


async def test_a_delayed_change_waits_and_then_happens(installation: Installation, inside: InsideCaller) -> None:
    _, deployment_id = await preview(installation)
    clock = asyncio.get_running_loop().time
    began = clock()
    await schedule(inside, deployment_id, STANDBY, delay_ms=400)
    await until_desired(installation, deployment_id, "standby", "stopped")
    assert clock() - began >= 0.4


async def test_running_after_standby_brings_the_instances_back(
    installation: Installation, inside: InsideCaller
) -> None:
    _, deployment_id = await preview(installation)
    await schedule(inside, deployment_id, STANDBY, delay_ms=0)
    await until_instances(installation, deployment_id, 0)
    stopped = await versions(installation, deployment_id)

    await schedule(inside, deployment_id, RUNNING, delay_ms=0)
    await until_instances(installation, deployment_id, 3)
    assert await desired(installation, deployment_id) == ("running", {"running"})
    started = await versions(installation, deployment_id)
    assert all(started[region_id] > stopped[region_id] for region_id in stopped)


async def test_the_newest_schedule_wins(installation: Installation, inside: InsideCaller) -> None:
    _, deployment_id = await preview(installation)
    await schedule(inside, deployment_id, STANDBY)
    first = await pending(inside, deployment_id)
    await schedule(inside, deployment_id, ARCHIVED)
    second = await pending(inside, deployment_id)
    assert second["Nonce"] != first["Nonce"]

    await change(inside, deployment_id, first["Nonce"], STANDBY)
    assert await desired(installation, deployment_id) == ("running", {"running"})
    assert await pending(inside, deployment_id) == second
    await change(inside, deployment_id, second["Nonce"], ARCHIVED)
    assert await desired(installation, deployment_id) == ("archived", {"stopped"})


async def test_a_later_schedule_that_is_due_sooner_is_not_undone_by_the_earlier_one(
    installation: Installation, inside: InsideCaller
) -> None:
    _, deployment_id = await preview(installation)
    await schedule(inside, deployment_id, STANDBY, delay_ms=500)
    await schedule(inside, deployment_id, ARCHIVED, delay_ms=0)

    await until_changes(installation, deployment_id, 2)
    assert await desired(installation, deployment_id) == ("archived", {"stopped"})


async def test_nothing_happens_once_it_was_cleared(installation: Installation, inside: InsideCaller) -> None:
    _, deployment_id = await preview(installation)
    await schedule(inside, deployment_id, STANDBY)
    nonce = (await pending(inside, deployment_id))["Nonce"]
    await clear(inside, deployment_id)
    assert await pending(inside, deployment_id) is None

    before = await versions(installation, deployment_id)
    await change(inside, deployment_id, nonce, STANDBY)
    assert await desired(installation, deployment_id) == ("running", {"running"})
    assert await versions(installation, deployment_id) == before
    await clear(inside, deployment_id)


async def test_a_change_happens_once(installation: Installation, inside: InsideCaller) -> None:
    _, deployment_id = await preview(installation)
    await schedule(inside, deployment_id, STANDBY)
    nonce = (await pending(inside, deployment_id))["Nonce"]
    await change(inside, deployment_id, nonce, STANDBY)
    await schedule(inside, deployment_id, RUNNING, delay_ms=0)
    await until_desired(installation, deployment_id, "running", "running")

    await change(inside, deployment_id, nonce, STANDBY)
    assert await desired(installation, deployment_id) == ("running", {"running"})


async def test_an_unknown_nonce_changes_nothing(installation: Installation, inside: InsideCaller) -> None:
    _, deployment_id = await preview(installation)
    await change(inside, deployment_id, "nobody-drew-this", STANDBY)
    await change(inside, deployment_id, "", STANDBY)
    await schedule(inside, deployment_id, STANDBY)
    await change(inside, deployment_id, "", STANDBY)
    assert await desired(installation, deployment_id) == ("running", {"running"})


@pytest.mark.parametrize("state", [UNSPECIFIED, 17])
async def test_a_state_that_is_none_is_refused_at_once(
    installation: Installation, inside: InsideCaller, state: int
) -> None:
    _, deployment_id = await preview(installation)
    await schedule(inside, deployment_id, STANDBY)
    before = await pending(inside, deployment_id)
    await refused(inside, deployment_id, "state", state=state)
    assert await pending(inside, deployment_id) == before


@pytest.mark.parametrize("delay_ms", [-1, -(2**63), 2**63 - 1])
async def test_a_delay_that_cannot_be_is_refused_at_once(
    installation: Installation, inside: InsideCaller, delay_ms: int
) -> None:
    _, deployment_id = await preview(installation)
    await refused(inside, deployment_id, "delay_millis", delay_ms=delay_ms)
    assert await pending(inside, deployment_id) is None
    assert await completed_changes(installation, deployment_id) == 0


async def refused(inside: InsideCaller, deployment_id: str, field: str, **asked: int) -> None:
    with pytest.raises(InvalidArgument) as raised:
        await schedule(inside, deployment_id, **{"state": STANDBY, **asked})
    assert raised.value.facts["field"] == field


async def test_the_live_deployment_is_not_stopped_and_the_schedule_is_gone(
    installation: Installation, inside: InsideCaller
) -> None:
    world = await installation.world()
    live = await installation.deployed(world)
    before = await versions(installation, live)
    await schedule(inside, live, STANDBY)
    nonce = (await pending(inside, live))["Nonce"]

    with pytest.raises(FailedPrecondition) as raised:
        await change(inside, live, nonce, STANDBY)
    assert raised.value.reason == "DEPLOYMENT_IS_LIVE"
    assert await pending(inside, live) is None
    assert await desired(installation, live) == ("running", {"running"})
    assert await versions(installation, live) == before


@pytest.mark.parametrize("gone", ["deployment", "app"])
async def test_what_is_gone_is_passed_over_quietly(installation: Installation, inside: InsideCaller, gone: str) -> None:
    world, deployment_id = await preview(installation)
    await schedule(inside, deployment_id, STANDBY)
    nonce = (await pending(inside, deployment_id))["Nonce"]
    table, lost = (tables.deployments, deployment_id) if gone == "deployment" else (tables.apps, world.app.id)
    await installation.database.transact(lambda conn: conn.execute(table.delete().where(table.c.id == lost)))

    await change(inside, deployment_id, nonce, STANDBY)
    assert await pending(inside, deployment_id) is None


async def test_a_transition_that_a_go_worker_left_is_honoured(installation: Installation, inside: InsideCaller) -> None:
    _, deployment_id = await preview(installation)
    nonce = "6c2f41f5-7ac3-4b0e-9d6d-2f0f3b1f7f10"
    await inside.set_state(SERVICE, deployment_id, {"transition": {"Nonce": nonce, "To": STANDBY}})

    await change(inside, deployment_id, "another", STANDBY)
    assert await desired(installation, deployment_id) == ("running", {"running"})
    await change(inside, deployment_id, nonce, STANDBY)
    assert await desired(installation, deployment_id) == ("standby", {"stopped"})


async def test_a_schedule_replaces_what_a_go_worker_left(installation: Installation, inside: InsideCaller) -> None:
    _, deployment_id = await preview(installation)
    await inside.set_state(SERVICE, deployment_id, {"transition": {"Nonce": "left", "To": STANDBY}})
    await schedule(inside, deployment_id, ARCHIVED)
    await change(inside, deployment_id, "left", STANDBY)
    assert await desired(installation, deployment_id) == ("running", {"running"})


async def test_a_change_that_crashes_after_its_commit_ends_the_same(
    installation: Installation, inside: InsideCaller
) -> None:
    _, deployment_id = await preview(installation)
    installation.kill_at("change desired state.after")
    worker = installation.stack.worker
    await schedule(inside, deployment_id, STANDBY, delay_ms=0)
    await until(lambda: died(worker))
    committed = await versions(installation, deployment_id)
    await installation.stack.start_worker()

    await until_changes(installation, deployment_id, 1)
    assert await desired(installation, deployment_id) == ("standby", {"stopped"})
    assert await versions(installation, deployment_id) == committed


async def died(worker: Process) -> bool:
    return worker.exit_code is not None


async def completed_changes(installation: Installation, deployment_id: str) -> int:
    """Count the messages of change that have arrived and been dealt with."""
    found = await installation.admin_query(
        "select target_service_key, status from sys_invocation where target_handler_name = 'ChangeDesiredState'"
    )
    return found.count({"target_service_key": deployment_id, "status": "completed"})


async def until_changes(installation: Installation, deployment_id: str, count: int) -> None:
    async def completed() -> bool:
        return await completed_changes(installation, deployment_id) >= count

    await until(completed)


async def until_desired(installation: Installation, deployment_id: str, state: str, topologies: str) -> None:
    async def reached() -> bool:
        return await desired(installation, deployment_id) == (state, {topologies})

    await until(reached)


async def until_instances(installation: Installation, deployment_id: str, count: int) -> None:
    """Wait until so many instances of the deployment run, and no other is known."""

    async def counted() -> bool:
        instances = await installation.rows(tables.instances, deployment_id=deployment_id)
        return [row["status"] for row in instances] == ["running"] * count

    await until(counted)
