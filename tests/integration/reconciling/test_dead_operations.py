"""Operations that nobody will end any more: 06 · L4."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hydra.v1 import deploy_pb2

from service.database import tables
from service.dev.workload import AgentBehaviour
from tests.installation import Installation
from tests.integration.reconciling.rounds import found_of, go_round, shows
from tests.reporting_site import ReportingSite
from tests.waiting import appears, until

pytestmark = pytest.mark.usefixtures("in_order")

DEPLOY = "/hydra.v1.DeployService/k/Deploy/send"
BODY = {"image": "registry.example.com/acme/shop:1.0"}


@asynccontextmanager
async def under_way(installation: Installation, deployment_id: str, point: str) -> AsyncIterator[str]:
    """Deploy up to `<step>.<before|after>`, and hold it there while the block lasts; gives its operation's id."""
    async with installation.held(point) as reached:
        answer = await installation.ingress(DEPLOY, {"deploymentId": deployment_id, "dockerImage": BODY})
        await appears(reached)
        yield answer.body["invocationId"]


async def ended(installation: Installation, invocation_id: str) -> None:
    """Wait until Restate has ended an invocation."""

    async def gone() -> bool:
        rows = await installation.admin_query(f"select status from sys_invocation where id = '{invocation_id}'")
        return not rows or rows[0]["status"] == "completed"

    await until(gone)


async def act(installation: Installation, invocation_id: str, action: str) -> None:
    url = f"{installation.stack.restate.admin_url}/invocations/{invocation_id}/{action}"
    async with installation.http.patch(url) as answer:
        assert answer.status < 300, await answer.text()


POINTS = ["start deployment.after", "provision regions.after", "await healthy regions.before", "reserve names.after"]


@pytest.mark.parametrize("point", POINTS)
async def test_a_deploy_that_was_killed_is_undone(reconciled: ReportingSite, point: str) -> None:
    installation = reconciled.installation
    connected = await reconciled.connected()
    live = await reconciled.deployment(connected)
    await reconciled.deploy(live)
    routes = await installation.routes(connected.world)
    deployment_id = await reconciled.deployment(connected)
    async with under_way(installation, deployment_id, point) as operation:
        assert await installation.kill(operation) in (200, 202)
        await ended(installation, operation)
    assert (await installation.row(tables.deployments, id=deployment_id))["status"] != "failed"

    found = await go_round(installation)

    assert [each["kind"] for each in found if each["subject"] == operation] == ["OPERATION_KILLED"]
    assert [each for each in found if each["subject"] == deployment_id] == []  # GitHub hears of it once
    deployment = await installation.row(tables.deployments, id=deployment_id)
    assert deployment["status"] == "failed"
    assert all(step["ended_at"] for step in (await installation.steps(deployment_id)).values())
    assert "start it again" in str([step["error"] for step in (await installation.steps(deployment_id)).values()])
    topologies = await installation.rows(tables.deployment_topology, deployment_id=deployment_id)
    assert {row["desired_status"] for row in topologies} <= {"stopped"}
    record = await installation.row(tables.hydra_operations, id=operation)
    assert (record["state"], record["reason"]) == ("failed", "KILLED")
    moved = {name: owner for name, owner in (await installation.routes(connected.world)).items() if name in routes}
    assert moved == routes
    assert await installation.live(connected.world) == live

    if point != "start deployment.after":  # before the commit is known GitHub hears nothing
        await until(lambda: shows(reconciled, connected, deployment_id, "error"))
    await installation.deploy(deployment_id)
    assert await installation.status(deployment_id) == "ready"
    assert await found_of(installation, operation) == []


async def test_only_looking_changes_nothing(reconciled: ReportingSite) -> None:
    installation = reconciled.installation
    world = await installation.world()
    deployment_id = await installation.deployment(world)
    async with under_way(installation, deployment_id, "provision regions.after") as operation:
        await installation.kill(operation)
        await ended(installation, operation)
    before = await installation.row(tables.deployments, id=deployment_id)

    assert await found_of(installation, operation, dry_run=True) == [("OPERATION_KILLED", "WOULD_SETTLE")]

    assert await installation.row(tables.deployments, id=deployment_id) == before
    assert await found_of(installation, operation) == [("OPERATION_KILLED", "SETTLED")]


async def test_one_that_restate_has_forgotten(reconciled: ReportingSite) -> None:
    installation = reconciled.installation
    world = await installation.world()
    deployment_id = await installation.deployment(world)
    async with under_way(installation, deployment_id, "reserve names.before") as operation:
        await installation.kill(operation)
        await ended(installation, operation)
    await act(installation, operation, "purge")

    assert await found_of(installation, operation) == [("OPERATION_GONE", "SETTLED")]
    assert await installation.status(deployment_id) == "failed"


async def test_one_that_goes_on_is_left_alone(reconciled: ReportingSite) -> None:
    installation = reconciled.installation
    world = await installation.world()
    deployment_id = await installation.deployment(world)
    async with under_way(installation, deployment_id, "provision regions.after") as operation:
        assert await found_of(installation, operation) == []
    await ended(installation, operation)
    assert await installation.status(deployment_id) == "ready"


async def test_one_that_was_paused_and_forgotten_ends(reconciled: ReportingSite) -> None:
    installation = reconciled.installation
    world = await installation.world()
    deployment_id = await installation.deployment(world)
    for agent in installation.agents.values():
        agent.behave(AgentBehaviour(dead=True), deployment_id)
    operation = (await installation.ingress(DEPLOY, {"deploymentId": deployment_id, "dockerImage": BODY})).body[
        "invocationId"
    ]
    await until(lambda: _is(installation, deployment_id, "deploying"))
    await act(installation, operation, "pause")
    await until(lambda: _restate_says(installation, operation, "paused"))

    assert await found_of(installation, operation) == [("OPERATION_PAUSED", "SETTLED")]
    await ended(installation, operation)

    assert await installation.status(deployment_id) == "failed"
    record = await installation.row(tables.hydra_operations, id=operation)
    # A step that was taken up again may be over before Restate has told the attempt of its cancellation.
    assert (record["state"], record["reason"]) in (("cancelled", "CANCELLED"), ("failed", "REGIONS_UNHEALTHY"))


async def _is(installation: Installation, deployment_id: str, status: str) -> bool:
    return await installation.status(deployment_id) == status


async def _restate_says(installation: Installation, invocation_id: str, status: str) -> bool:
    rows = await installation.admin_query(f"select status from sys_invocation where id = '{invocation_id}'")
    return [row["status"] for row in rows] == [status]


@pytest.mark.parametrize("kind", ["rollback", "promote"])
async def test_a_move_of_traffic_that_was_killed_can_no_longer_happen(reconciled: ReportingSite, kind: str) -> None:
    """It waits for its switch, which the app's lock holds up; then it is killed, and settled, and the lock is free."""
    installation = reconciled.installation
    world = await installation.world()
    old = await installation.deployed(world)
    new = await installation.deployed(world)
    path = f"/hydra.v1.DeployService/k/{kind.title()}/send"
    body = {"sourceDeploymentId": new, "targetDeploymentId": old} if kind == "rollback" else {"targetDeploymentId": old}
    async with installation.held("switch traffic.before") as reached:
        operation = (await installation.ingress(path, body)).body["invocationId"]
        await appears(reached)
        await installation.kill(operation)
        await ended(installation, operation)
        assert ("OPERATION_KILLED", "SETTLED") in await found_of(installation, operation)

    await asyncio.sleep(0.5)  # what was held goes on, if it does, and must not succeed
    assert await installation.live(world) == new
    assert set((await installation.routes(world)).values()) >= {new}
    record = await installation.row(tables.hydra_operations, id=operation)
    assert (record["state"], record["reason"]) == ("failed", "KILLED")


async def test_a_newer_attempt_is_left_alone(reconciled: ReportingSite) -> None:
    installation = reconciled.installation
    world = await installation.world()
    deployment_id = await installation.deployment(world)
    async with under_way(installation, deployment_id, "provision regions.after") as dead:
        await installation.kill(dead)
        await ended(installation, dead)
    request = deploy_pb2.DeployRequest(
        deployment_id=deployment_id, docker_image=deploy_pb2.DockerImage(image=BODY["image"])
    )
    await installation.stub.Deploy(request, timeout=60)

    assert await found_of(installation, dead) == [("OPERATION_KILLED", "SETTLED")]
    assert await installation.status(deployment_id) == "ready"
    assert await installation.live(world) == deployment_id
