"""A deploy that fails: what the caller is told, and what is left behind, which is next to nothing."""

import asyncio
from typing import Any

import grpc.aio
import pytest
from sqlalchemy import insert

from service.database import tables
from service.dev.workload import AgentBehaviour
from service.dev.world import World
from tests.installation import HEARS_IN_A_STEP, Installation, deploy_request
from tests.waiting import appears

pytestmark = pytest.mark.usefixtures("in_order")


async def refused(installation: Installation, deployment_id: str) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await installation.deploy(deployment_id)
    return raised.value


async def assert_nothing_runs(installation: Installation, deployment_id: str) -> None:
    topologies = await installation.rows(tables.deployment_topology, deployment_id=deployment_id)
    assert {row["desired_status"] for row in topologies} <= {"stopped"}
    assert await installation.status(deployment_id) == "failed"
    attempt = await installation.row(tables.hydra_deployment_attempts, deployment_id=deployment_id)
    assert attempt["state"] == "failed"


async def test_an_app_without_regional_settings(installation: Installation) -> None:
    world = await installation.world(regions=())
    deployment_id = await installation.deployment(world)

    error = await refused(installation, deployment_id)

    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    await assert_nothing_runs(installation, deployment_id)
    step = (await installation.steps(deployment_id))["deploying"]
    assert step["error"] == error.details()
    assert step["ended_at"] is not None
    assert await installation.routes(world) == {}


async def test_the_steps_of_an_earlier_workers_attempt_are_forgotten(installation: Installation) -> None:
    world = await installation.world(regions=())
    deployment_id = await installation.deployment(world)
    deployment = await installation.row(tables.deployments, id=deployment_id)
    of = {name: deployment[name] for name in ("workspace_id", "project_id", "environment_id", "app_id")}
    left = {**of, "deployment_id": deployment_id, "step": "network", "started_at": 1, "error": "long ago"}
    await installation.database.transact(lambda conn: conn.execute(insert(tables.deployment_steps).values(left)))
    await installation.set(tables.deployments, {"id": deployment_id}, status="failed")

    await refused(installation, deployment_id)

    assert set(await installation.steps(deployment_id)) == {"starting", "building", "deploying"}


async def test_only_regions_that_cannot_schedule_or_are_unknown(installation: Installation) -> None:
    world = await installation.world(regions=("us-east-1",))
    where = {"app_id": world.app.id, "environment_id": world.app.environments["production"]}
    await installation.set(tables.app_regional_settings, where, region_id="rgn_unknown")
    deployment_id = await installation.deployment(world)

    error = await refused(installation, deployment_id)

    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "region" in str(error.details())
    await assert_nothing_runs(installation, deployment_id)


async def test_a_workspace_without_a_quota(installation: Installation) -> None:
    world = await installation.world()
    await installation.set(tables.quota, {"workspace_id": world.workspace_id}, workspace_id=f"{world.workspace_id}-")
    deployment_id = await installation.deployment(world)

    error = await refused(installation, deployment_id)

    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    await assert_nothing_runs(installation, deployment_id)


@pytest.mark.parametrize(
    ("table", "column"),
    [(tables.workspaces, "workspace_id"), (tables.projects, "project_id"), (tables.apps, "app_id")],
)
async def test_what_the_deployment_belongs_to_is_missing(installation: Installation, table: Any, column: str) -> None:
    world = await installation.world()
    deployment_id = await installation.deployment(world)
    gone = (await installation.row(tables.deployments, id=deployment_id))[column]
    await installation.set(table, {"id": gone}, id=f"{gone}-gone")

    error = await refused(installation, deployment_id)

    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert gone in str(error.details())
    assert await installation.status(deployment_id) == "failed"
    operation = await installation.row(tables.hydra_operations, deployment_id=deployment_id)
    assert (operation["state"], operation["message"]) == ("failed", error.details())


async def test_too_few_regions_in_time(installation: Installation) -> None:
    world = await installation.world()
    deployment_id = await installation.deployment(world)
    for region in ("us-east-1", "eu-central-1"):
        installation.agents[region].behave(AgentBehaviour(dead=True), deployment_id)

    error = await refused(installation, deployment_id)

    assert error.code() is grpc.StatusCode.ABORTED
    assert "us-east-1: no instances" in str(error.details())
    await assert_nothing_runs(installation, deployment_id)
    deployment = await installation.row(tables.deployments, id=deployment_id)
    assert deployment["desired_state"] == "archived"
    while await installation.rows(tables.instances, deployment_id=deployment_id):
        await asyncio.sleep(0.02)  # the agents notice by the stream: the topologies have new versions


async def test_a_failed_deploy_moves_no_traffic(installation: Installation) -> None:
    """06 · T1, by the health gate: the routes and the live pointer stay, and the live deployment keeps running."""
    world = await installation.world()
    live = await installation.deployed(world)
    before = await installation.routes(world)
    failing = await installation.deployment(world)
    for agent in installation.agents.values():
        agent.behave(AgentBehaviour(dead=True), failing)

    await refused(installation, failing)

    assert await installation.routes(world) == before
    assert await installation.live(world) == live
    assert await scheduled_for(installation, live) == []


async def test_the_last_step_fails_for_good(installation: Installation) -> None:
    """06 · T1, by the switch itself: its transaction fails, and nothing of it remains."""
    world = await installation.world()
    live = await installation.deployed(world)
    before = await installation.routes(world)
    failing = await installation.deployment(world)
    async with installation.held("switch traffic.before") as reached:
        call = asyncio.ensure_future(installation.stub.Deploy(deploy_request(failing), timeout=30))
        await appears(reached)
        await installation.set(tables.deployments, {"id": failing}, desired_state="standby")

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call

    assert raised.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    moved = {name: owner for name, owner in (await installation.routes(world)).items() if name in before}
    assert moved == before
    assert await installation.live(world) == live
    assert await scheduled_for(installation, live) == []
    await assert_nothing_runs(installation, failing)
    assert (await installation.steps(failing))["finalizing"]["error"] == raised.value.details()


async def scheduled_for(installation: Installation, deployment_id: str) -> list[dict[str, Any]]:
    """Find the calls that scheduled a change of the deployment's desired state."""
    calls = await installation.admin_query(
        "select id, target_service_key from sys_invocation where target_handler_name = 'ScheduleDesiredStateChange'"
    )
    return [call for call in calls if call["target_service_key"] == deployment_id]


async def test_a_long_error_is_cut_without_splitting_a_character(installation: Installation) -> None:
    world = await installation.world(regions=())
    deployment_id = await installation.deployment(world)
    gone = "ä" * 60
    await installation.set(tables.deployments, {"id": deployment_id}, workspace_id=gone * 4)

    await refused(installation, deployment_id)

    operation = await installation.row(tables.hydra_operations, deployment_id=deployment_id)
    assert len(operation["message"].encode()) <= 512
    assert operation["message"].endswith("...")


async def test_cancelled_while_it_waits(installation: Installation) -> None:
    world = await installation.world()
    live = await installation.deployed(world)
    before = await installation.routes(world)
    deployment_id = await installation.deployment(world)
    for agent in installation.agents.values():
        agent.behave(AgentBehaviour(dead=True), deployment_id)
    call = asyncio.ensure_future(installation.stub.Deploy(deploy_request(deployment_id), timeout=30))
    while not await installation.rows(tables.deployment_topology, deployment_id=deployment_id):
        await asyncio.sleep(0.02)

    assert await installation.cancel(await installation.operation(deployment_id)) == 202
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call

    assert raised.value.code() is grpc.StatusCode.CANCELLED
    await assert_nothing_runs(installation, deployment_id)
    assert (await installation.row(tables.hydra_operations, deployment_id=deployment_id))["state"] == "cancelled"
    assert (await installation.routes(world), await installation.live(world)) == (before, live)


@pytest.mark.parametrize(
    "point", ["claim deployment.after", "save image.before", "provision regions.after", "switch traffic.after"]
)
async def test_cancelled_in_the_middle_of_a_step(installation: Installation, point: str) -> None:
    """06 · L7: the running action is stopped before anything is undone, and what it had committed is undone too."""
    world = await installation.world()
    live = await installation.deployed(world)
    before = await installation.routes(world)
    deployment_id = await installation.deployment(world)
    async with installation.held(point) as reached:
        call = asyncio.ensure_future(installation.stub.Deploy(deploy_request(deployment_id), timeout=30))
        await appears(reached)
        await installation.cancel(await installation.operation(deployment_id))
        if HEARS_IN_A_STEP:
            await asyncio.wait({call})
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call

    assert raised.value.code() is grpc.StatusCode.CANCELLED
    await assert_nothing_runs(installation, deployment_id)
    kept = {name: owner for name, owner in (await installation.routes(world)).items() if name in before}
    assert (kept, await installation.live(world)) == (before, live)


async def test_a_deploy_beside_a_failing_one_is_not_disturbed(installation: Installation) -> None:
    world: World = await installation.world(apps=("default", "api"))
    failing = await installation.deployment(world, app="api")
    for agent in installation.agents.values():
        agent.behave(AgentBehaviour(dead=True), failing)
    doomed = asyncio.ensure_future(installation.stub.Deploy(deploy_request(failing), timeout=30))

    await installation.deployed(world)

    assert not doomed.done()
    with pytest.raises(grpc.aio.AioRpcError):
        await doomed
