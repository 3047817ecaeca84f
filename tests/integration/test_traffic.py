"""Rollback and promote, in every order: 06 · L1, L2 and T1 to T11."""

import asyncio
import re
from typing import Any

import grpc.aio
import pytest
from hydra.v1 import deploy_pb2
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database import tables
from service.dev.workload import AgentBehaviour
from service.dev.world import World
from tests.installation import HEARS_IN_A_STEP, IMAGE, Installation, deploy_request
from tests.waiting import appears

pytestmark = pytest.mark.usefixtures("in_order")


async def rollback(installation: Installation, source: str, target: str, timeout: float = 30) -> None:
    request = deploy_pb2.RollbackRequest(source_deployment_id=source, target_deployment_id=target)
    await installation.stub.Rollback(request, timeout=timeout)


async def promote(installation: Installation, target: str, timeout: float = 30) -> None:
    await installation.stub.Promote(deploy_pb2.PromoteRequest(target_deployment_id=target), timeout=timeout)


async def refused(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value


async def assert_live(installation: Installation, world: World, deployment_id: str, *, rolled_back: bool) -> None:
    """Check that the pointer and every route that follows the live deployment agree."""
    app = await installation.row(tables.apps, id=world.app.id)
    assert (app["current_deployment_id"], app["is_rolled_back"]) == (deployment_id, rolled_back)
    routes = await installation.routes(world)
    assert routes[f"shop-{world.workspace_slug}"] == deployment_id
    assert routes[f"shop-production-{world.workspace_slug}"] == deployment_id


async def pending(installation: Installation, deployment_id: str) -> bool:
    """Whether a change of the deployment's desired state is scheduled."""
    rows = await installation.admin_query(
        "select value_utf8 from state where service_name = 'hydra.v1.DeploymentService' "
        f"and service_key = '{deployment_id}' and key = 'transition'"
    )
    return bool(rows)


async def rests(installation: Installation, deployment_id: str) -> None:
    """Wait until the deployment is at rest, and the agents have seen to it."""
    while (await installation.row(tables.deployments, id=deployment_id))["desired_state"] != "standby":
        await asyncio.sleep(0.02)
    while await installation.rows(tables.instances, deployment_id=deployment_id):
        await asyncio.sleep(0.02)


async def desired(installation: Installation, deployment_id: str) -> str:
    return str((await installation.row(tables.deployments, id=deployment_id))["desired_state"])


async def two_deployed(installation: Installation) -> tuple[World, str, str]:
    world = await installation.world()
    return world, await installation.deployed(world), await installation.deployed(world)


async def test_a_rollback_moves_everything_back_and_stops_nothing(installation: Installation) -> None:
    world, a, b = await two_deployed(installation)

    await rollback(installation, b, a)

    await assert_live(installation, world, a, rolled_back=True)
    await asyncio.sleep(2)  # longer than the stack's standby delay
    assert (await desired(installation, a), await desired(installation, b)) == ("running", "running")
    operation = (await installation.rows(tables.hydra_operations, app_id=world.app.id, kind="rollback"))[0]
    assert (operation["state"], operation["from_deployment_id"], operation["to_deployment_id"]) == ("succeeded", b, a)


async def test_a_push_while_rolled_back_stays_unrouted_and_the_confirmation_stops_all_but_the_live_one(
    installation: Installation,
) -> None:
    """06 · T2."""
    world, a, b = await two_deployed(installation)
    await rollback(installation, b, a)
    c = await installation.deployed(world)

    await assert_live(installation, world, a, rolled_back=True)
    assert await installation.status(c) == "ready"
    await promote(installation, a)
    await assert_live(installation, world, a, rolled_back=False)
    await rests(installation, b)
    await rests(installation, c)
    assert await desired(installation, a) == "running"


async def test_a_promote_past_a_rollback_stops_both_that_it_leaves_behind(installation: Installation) -> None:
    """06 · T3."""
    world, a, b = await two_deployed(installation)
    await rollback(installation, b, a)
    c = await installation.deployed(world)

    await promote(installation, c)

    await assert_live(installation, world, c, rolled_back=False)
    await rests(installation, a)
    await rests(installation, b)
    assert not await pending(installation, c)
    assert await desired(installation, c) == "running"


async def test_a_rollback_during_a_deploy_stays_in_force(installation: Installation) -> None:
    """06 · T4."""
    world, a, b = await two_deployed(installation)
    c = await installation.deployment(world)
    async with installation.held("await healthy regions.before") as reached:
        call = asyncio.ensure_future(installation.stub.Deploy(deploy_request(c), timeout=30))
        await appears(reached)
        await rollback(installation, b, a)
    await call

    await assert_live(installation, world, a, rolled_back=True)
    assert await installation.status(c) == "ready"


async def test_nothing_that_was_replaced_is_forgotten_and_nothing_live_is_stopped(installation: Installation) -> None:
    """06 · T5: A replaced by B, rolled back to A, A replaced by C."""
    world, a, b = await two_deployed(installation)
    await rollback(installation, b, a)
    c = await installation.deployed(world)
    await promote(installation, c)
    d = await installation.deployed(world)

    for replaced in (a, b, c):
        await rests(installation, replaced)
    await assert_live(installation, world, d, rolled_back=False)
    assert await desired(installation, d) == "running"


async def test_targets_that_must_not_be_live_are_refused(installation: Installation) -> None:
    """06 · T6: of a preview, of another app, failed, archived; nothing moves and nothing is scheduled."""
    world, _, live = await two_deployed(installation)
    other = await installation.world()
    preview = await installation.deployed(world, "preview")
    foreign = await installation.deployed(other)
    failed, archived, running = [await installation.deployment(world) for _ in range(3)]
    await installation.set(tables.deployments, {"id": failed}, status="failed", image=IMAGE)
    await installation.set(tables.deployments, {"id": archived}, status="ready", desired_state="archived", image=IMAGE)

    for target in (preview, foreign, failed, archived, running):
        error = await refused(rollback(installation, live, target))
        assert error.code() is grpc.StatusCode.FAILED_PRECONDITION, target
    for target in (preview, failed, archived, running, live):
        error = await refused(promote(installation, target))
        assert error.code() is grpc.StatusCode.FAILED_PRECONDITION, target

    await assert_live(installation, world, live, rolled_back=False)
    for target in (preview, foreign, failed, archived, running, live):
        assert not await pending(installation, target)
    refusals = await installation.rows(tables.hydra_operations, kind="promote", state="failed", deployment_id=preview)
    assert [(row["reason"], row["app_id"]) for row in refusals] == [("OTHER_ENVIRONMENT", world.app.id)]


@pytest.mark.parametrize(
    ("source", "target", "code"),
    [
        ("", "d_1", grpc.StatusCode.INVALID_ARGUMENT),
        ("d_1", "", grpc.StatusCode.INVALID_ARGUMENT),
        ("d_1", "d_1", grpc.StatusCode.INVALID_ARGUMENT),
        ("d_none", "d_none2", grpc.StatusCode.NOT_FOUND),
    ],
)
async def test_bad_rollbacks(installation: Installation, source: str, target: str, code: grpc.StatusCode) -> None:
    assert (await refused(rollback(installation, source, target))).code() is code


async def test_a_rollback_from_what_is_not_live_is_refused(installation: Installation) -> None:
    world, a, b = await two_deployed(installation)
    c = await installation.deployed(world)
    assert (await refused(rollback(installation, b, a))).code() is grpc.StatusCode.FAILED_PRECONDITION
    await assert_live(installation, world, c, rolled_back=False)


async def test_a_target_in_standby_is_woken_before_anything_moves(installation: Installation) -> None:
    """06 · T7: at no moment does a routed name lead to what does not run."""
    world, a, b = await two_deployed(installation)
    await rests(installation, a)
    for agent in installation.agents.values():
        agent.behave(AgentBehaviour(dead=True), a)
    waiting = asyncio.ensure_future(rollback(installation, b, a))
    while await desired(installation, a) != "running":
        await asyncio.sleep(0.01)
    await assert_live(installation, world, b, rolled_back=False)
    for agent in installation.agents.values():
        agent.behave(AgentBehaviour(), a)
    await waiting

    await assert_live(installation, world, a, rolled_back=True)
    instances = await installation.rows(tables.instances, deployment_id=a)
    assert len([row for row in instances if row["status"] == "running"]) >= 2


async def test_instances_of_a_target_that_was_just_stopped_are_doubted(installation: Installation) -> None:
    """06 · T7: an agent that has read the stop may end them yet, so they have to hold still for longer than others."""
    _, a, b = await two_deployed(installation)
    await rests(installation, a)
    for agent in installation.agents.values():
        agent.behave(AgentBehaviour(dead=True), a)
    await still_shown(installation, a, like=b)

    shown = [row["pk"] for row in await installation.rows(tables.instances, deployment_id=a)]

    await rollback(installation, b, a)

    (operation,) = await installation.rows(tables.hydra_operations, to_deployment_id=a, kind="rollback")
    journal = await installation.admin_query(f"select raw from sys_journal where id = '{operation['id']}'")
    written = " ".join(bytes.fromhex(str(entry.get("raw", ""))).decode(errors="replace") for entry in journal)
    assert re.findall(r'"seen_before":(\d+)', written) == [str(max(shown))]


async def test_instances_that_one_takeover_doubts_are_doubted_by_the_next(installation: Installation) -> None:
    """The target runs already by then: it was set running for the first one a moment ago."""
    world, a, b = await two_deployed(installation)
    await rests(installation, a)
    for agent in installation.agents.values():
        agent.behave(AgentBehaviour(dead=True), a)
    await still_shown(installation, a, like=b)
    first = asyncio.ensure_future(rollback(installation, b, a))
    while await desired(installation, a) != "running":
        await asyncio.sleep(0.02)

    second = asyncio.ensure_future(promote(installation, a))

    assert not (await asyncio.wait({first, second}, timeout=2))[0]
    assert await installation.live(world) == b
    for agent in installation.agents.values():
        agent.behave(AgentBehaviour(), a)
    ends = await asyncio.gather(first, second, return_exceptions=True)
    assert None in ends, ends
    assert await installation.live(world) == a


async def still_shown(installation: Installation, deployment_id: str, like: str) -> None:
    """Put running instances into the table, as those of another deployment are, that no agent knows of."""
    rows = await installation.rows(tables.instances, deployment_id=like)
    names = ("id", "k8s_name", "address")
    copies = [
        {name: value for name, value in row.items() if name != "pk"}
        | {name: f"{row[name]}-old" for name in names if row.get(name)}
        | {"deployment_id": deployment_id}
        for row in rows
    ]

    async def work(conn: AsyncConnection) -> None:
        await conn.execute(insert(tables.instances), copies)

    await installation.database.transact(work)


@pytest.mark.parametrize("operation", ["rollback", "promote"])
async def test_a_target_that_never_wakes_moves_nothing_and_rests_again(
    installation: Installation, operation: str
) -> None:
    """06 · T7: and it is put back to rest."""
    world, a, b = await two_deployed(installation)
    await rests(installation, a)
    for agent in installation.agents.values():
        agent.behave(AgentBehaviour(dead=True), a)

    call = rollback(installation, b, a) if operation == "rollback" else promote(installation, a)
    error = await refused(call)

    assert error.code() is grpc.StatusCode.ABORTED
    await assert_live(installation, world, b, rolled_back=False)
    await rests(installation, a)
    topologies = await installation.rows(tables.deployment_topology, deployment_id=a)
    while {row["desired_status"] for row in topologies} != {"stopped"}:
        topologies = await installation.rows(tables.deployment_topology, deployment_id=a)


async def test_a_stop_that_fires_during_a_promote_does_not_stop_what_is_live(installation: Installation) -> None:
    """06 · T8: the stop is scheduled, the promote is held before its switch, and the time comes."""
    world, a, b = await two_deployed(installation)
    while not await pending(installation, a):
        await asyncio.sleep(0.02)
    async with installation.held("switch traffic.before") as reached:
        call = asyncio.ensure_future(promote(installation, a))
        await appears(reached)
        await asyncio.sleep(2)  # longer than the stack's standby delay
        assert await desired(installation, a) == "running"
    await call

    await assert_live(installation, world, a, rolled_back=False)
    await rests(installation, b)
    assert await desired(installation, a) == "running"


@pytest.mark.parametrize("point", ["switch traffic.before", "switch traffic.after", "check rollback.after"])
async def test_a_rollback_cut_off_by_a_crash_ends_in_the_same_state(installation: Installation, point: str) -> None:
    """06 · T11: its own commit is not taken for somebody else's."""
    world, a, b = await two_deployed(installation)
    installation.kill_at(point)
    sent = await installation.ingress(
        "/hydra.v1.DeployService/k/Rollback/send", {"sourceDeploymentId": b, "targetDeploymentId": a}
    )
    while installation.stack.worker.exit_code is None:
        await asyncio.sleep(0.02)
    await installation.stack.start_worker()
    answer = await installation.ingress(f"/restate/invocation/{sent.body['invocationId']}/attach", method="GET")

    assert (answer.status, answer.body) == (200, {})
    await assert_live(installation, world, a, rolled_back=True)


async def test_a_deploy_cut_off_after_its_switch_knows_its_true_predecessor(installation: Installation) -> None:
    """06 · T11: the previous deployment is scheduled, not the new one itself."""
    world = await installation.world()
    a = await installation.deployed(world)
    b = await installation.deployment(world)
    installation.kill_at("switch traffic.after")
    await installation.ingress(
        f"/hydra.v1.DeployService/{b}/Deploy/send", {"deploymentId": b, "dockerImage": {"image": IMAGE}}
    )
    while installation.stack.worker.exit_code is None:
        await asyncio.sleep(0.02)
    await installation.stack.start_worker()

    await rests(installation, a)
    await assert_live(installation, world, b, rolled_back=False)
    assert await desired(installation, b) == "running"


async def test_a_rollback_waits_for_no_deploy_of_the_app_or_its_key(installation: Installation) -> None:
    """06 · L1, L2: a rollback to nothing is refused at once, and a real one goes through, while a deploy waits."""
    world, a, b = await two_deployed(installation)
    slow = await installation.deployment(world, "preview")
    for agent in installation.agents.values():
        agent.behave(AgentBehaviour(dead=True), slow)
    waiting = asyncio.ensure_future(installation.deploy(slow, x_restate_key="k"))
    while await installation.status(slow) != "deploying":
        await asyncio.sleep(0.01)
    body = {"sourceDeploymentId": b, "targetDeploymentId": "d_none"}
    assert (await installation.ingress("/hydra.v1.DeployService/k/Rollback", body)).status == 404
    body = {"sourceDeploymentId": b, "targetDeploymentId": a}
    assert (await installation.ingress("/hydra.v1.DeployService/k/Rollback", body)).status == 200

    assert not waiting.done()
    await refused(waiting)
    await assert_live(installation, world, a, rolled_back=True)


async def test_a_second_rollback_keeps_both_sources_for_the_confirmation(installation: Installation) -> None:
    world, a, b = await two_deployed(installation)
    c = await installation.deployed(world)
    await rollback(installation, c, b)
    await rollback(installation, b, a)
    await assert_live(installation, world, a, rolled_back=True)

    await promote(installation, a)

    await rests(installation, b)
    await rests(installation, c)
    await assert_live(installation, world, a, rolled_back=False)
    assert await desired(installation, a) == "running"


async def test_a_confirmation_that_a_promote_overtakes_leaves_no_stop_on_what_is_live(
    installation: Installation,
) -> None:
    """Found by the model: the confirmation had been checked when the other promote took the target's place."""
    world, a, b = await two_deployed(installation)
    await rollback(installation, b, a)
    c = await installation.deployed(world)
    async with installation.held("switch traffic.before") as reached:
        first = asyncio.ensure_future(promote(installation, c))
        await appears(reached)
        second = asyncio.ensure_future(promote(installation, a))
        while not await installation.rows(tables.hydra_operations, kind="promote", to_deployment_id=a):
            await asyncio.sleep(0.01)
    await asyncio.gather(first, second)

    await assert_live(installation, world, a, rolled_back=False)
    await rests(installation, c)
    assert not await pending(installation, a)
    assert await desired(installation, a) == "running"


async def test_rolling_back_and_forth_leaves_the_live_one_alone(installation: Installation) -> None:
    world, a, b = await two_deployed(installation)
    await rollback(installation, b, a)
    await rollback(installation, a, b)
    await promote(installation, b)

    await rests(installation, a)
    await assert_live(installation, world, b, rolled_back=False)
    assert await desired(installation, b) == "running"


async def test_an_environment_without_routes(installation: Installation) -> None:
    world, a, b = await two_deployed(installation)
    for sticky in ("live", "environment"):
        await installation.set(tables.frontline_routes, {"app_id": world.app.id, "sticky": sticky}, sticky="none")
    assert (await refused(rollback(installation, b, a))).code() is grpc.StatusCode.FAILED_PRECONDITION
    assert await installation.live(world) == b
    await rests(installation, a)  # its schedule was put back


async def test_a_cancelled_rollback_moves_nothing(installation: Installation) -> None:
    world, a, b = await two_deployed(installation)
    async with installation.held("switch traffic.after") as reached:
        call = asyncio.ensure_future(rollback(installation, b, a))
        await appears(reached)
        (operation,) = await installation.rows(tables.hydra_operations, app_id=world.app.id, kind="rollback")
        await installation.cancel(operation["id"])
        if HEARS_IN_A_STEP:
            await asyncio.wait({call})
    error = await refused(call)

    assert error.code() is grpc.StatusCode.CANCELLED
    await assert_live(installation, world, b, rolled_back=False)
    await rests(installation, a)
    (operation,) = await installation.rows(tables.hydra_operations, app_id=world.app.id, kind="rollback")
    assert operation["state"] == "cancelled"
