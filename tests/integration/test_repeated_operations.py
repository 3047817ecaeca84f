"""An operation that has ended has ended for ever, also when Restate has forgotten it and gives its id again.

Restate makes an invocation's id of its idempotency key. So the same call after the retention is the same operation.
"""

import asyncio
import uuid
from typing import Any

import grpc.aio
import pytest
from hydra.v1 import deploy_pb2
from sqlalchemy import Table

from service.database import tables
from service.dev.world import World
from tests.installation import HEARS_IN_A_STEP, IMAGE, Installation, deploy_request
from tests.integration.test_quota import facts_of
from tests.integration.test_traffic import assert_live, promote, rests, rollback, two_deployed
from tests.waiting import appears, until

pytestmark = pytest.mark.usefixtures("in_order")

DEPLOY = "/hydra.v1.DeployService/k/Deploy"
KINDS = ["rollback", "promote"]


def a_key() -> str:
    return f"mine-{uuid.uuid4()}"


async def deploy(installation: Installation, deployment_id: str, key: str = "", timeout: float = 30) -> str:
    """Deploy over gRPC, under a key of the caller's own if given; returns the operation's id."""
    options = [("idempotency-key", key)] if key else []
    call = installation.stub.Deploy(deploy_request(deployment_id), timeout=timeout, metadata=options)
    await call
    return str(dict(await call.initial_metadata())["x-restate-invocation-id"])


async def move(installation: Installation, kind: str, places: tuple[str, str], key: str) -> str:
    """Roll back, or promote, from the first place to the second; returns the operation's id."""
    source, target = places
    if kind == "rollback":
        back = deploy_pb2.RollbackRequest(source_deployment_id=source, target_deployment_id=target)
        call = installation.stub.Rollback(back, timeout=30, metadata=[("idempotency-key", key)])
    else:
        request = deploy_pb2.PromoteRequest(target_deployment_id=target)
        call = installation.stub.Promote(request, timeout=30, metadata=[("idempotency-key", key)])
    await call
    return str(dict(await call.initial_metadata())["x-restate-invocation-id"])


async def refused(call: Any) -> tuple[grpc.StatusCode, str]:
    """Wait for a call that is refused; returns code and reason, which there is none of where it is not answered."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    code = raised.value.code()
    return code, "" if code is grpc.StatusCode.DEADLINE_EXCEEDED else facts_of(raised.value)["reason"]


ENDED = (grpc.StatusCode.FAILED_PRECONDITION, "OPERATION_ENDED")


Written = dict[tuple[str, str, str], Any]  # table, key and column → value


async def written(installation: Installation, world: World) -> Written:
    """Read all that an app's operations write: rows, and the changes that are scheduled."""
    ids = [row["id"] for row in await installation.rows(tables.deployments, app_id=world.app.id)]
    found = await _cells(installation, tables.apps, id=world.app.id)
    for table in (
        tables.deployments,
        tables.frontline_routes,
        tables.hydra_traffic_switches,
        tables.hydra_operations,
    ):
        found |= await _cells(installation, table, app_id=world.app.id)
    for table in (tables.deployment_topology, tables.deployment_steps, tables.hydra_deployment_attempts):
        for deployment_id in ids:
            found |= await _cells(installation, table, deployment_id=deployment_id)
    scheduled = await installation.admin_query(
        "select service_key from state where service_name = 'hydra.v1.DeploymentService' and key = 'transition'"
    )
    keys = {row["service_key"] for row in scheduled}
    return found | {("scheduled", each, "change"): True for each in keys & set(ids)}


async def _cells(installation: Installation, table: Table, **where: str) -> Written:
    return {
        (table.name, " ".join(str(row[key.name]) for key in table.primary_key.columns), column): value
        for row in await installation.rows(table, **where)
        for column, value in row.items()
    }


async def changes(installation: Installation, world: World, before: Written) -> list[str]:
    """Say what has been written since."""
    after = await written(installation, world)
    return [
        f"{' '.join(cell)}: {before.get(cell)!r} → {after.get(cell)!r}"
        for cell in sorted(before.keys() | after.keys())
        if before.get(cell) != after.get(cell)
    ]


async def one_replaced(installation: Installation) -> tuple[World, str, str]:
    """Deploy twice, and wait until what was replaced rests: nothing is about to happen any more."""
    world, a, b = await two_deployed(installation)
    await rests(installation, a)
    return world, a, b


# -------------------------------------------------------------------------------------------------------------- deploy


async def test_a_deploy_that_went_well_is_not_done_again(installation: Installation) -> None:
    world, _, b = await one_replaced(installation)
    first = await installation.operation(b)
    before = await written(installation, world)
    await installation.forget(first)

    assert await deploy(installation, b) == first

    assert await changes(installation, world, before) == []
    await assert_live(installation, world, b, rolled_back=False)
    assert (await installation.row(tables.hydra_operations, id=first))["state"] == "succeeded"


async def test_a_deploy_that_went_well_is_not_done_again_with_its_key_though_it_rests(
    installation: Installation,
) -> None:
    """It is the same operation: whoever wants to start it calls with another key."""
    world = await installation.world()
    a = await installation.deployment(world)
    body, header = {"deploymentId": a, "dockerImage": {"image": IMAGE}}, {"idempotency-key": a_key()}
    assert (await installation.ingress(DEPLOY, body, headers=header)).status == 200
    first = await installation.operation(a)
    await installation.deployed(world)
    await rests(installation, a)
    before = await written(installation, world)
    await installation.forget(first)

    answer = await installation.ingress(DEPLOY, body, headers=header)

    assert (answer.status, answer.body, answer.headers["x-restate-id"]) == (200, {}, first)
    assert await changes(installation, world, before) == []
    assert await installation.rows(tables.instances, deployment_id=a) == []


async def test_a_repeated_deploy_asks_for_no_quota(installation: Installation) -> None:
    world, _, b = await one_replaced(installation)
    first = await installation.operation(b)
    none = {"allocated_cpu_millicores_total": 1, "allocated_memory_mib_total": 1}
    await installation.set(tables.quota, {"workspace_id": world.workspace_id}, **none)
    before = await written(installation, world)
    await installation.forget(first)

    assert await deploy(installation, b) == first

    assert await changes(installation, world, before) == []


async def test_a_repeated_deploy_that_is_cancelled_undoes_nothing(installation: Installation) -> None:
    world, _, b = await one_replaced(installation)
    first = await installation.operation(b)
    before = await written(installation, world)
    await installation.forget(first)
    async with installation.held("claim deployment.before") as reached:
        call = asyncio.ensure_future(deploy(installation, b))
        await appears(reached)
        await installation.cancel(first)
        if HEARS_IN_A_STEP:
            await asyncio.wait({call})
    await asyncio.gather(call, return_exceptions=True)  # it may answer that all is done, or that it was cancelled

    assert await changes(installation, world, before) == []
    await assert_live(installation, world, b, rolled_back=False)


async def failed(installation: Installation, key: str) -> tuple[World, str, str]:
    """Deploy, under a key, what the quota does not allow, and allow it then; gives the operation's id as well."""
    world = await installation.world(regions=("us-east-1",), quota_cpu_millicores=10)
    deployment_id = await installation.deployment(world)
    assert (await refused(deploy(installation, deployment_id, key)))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
    await installation.set(tables.quota, {"workspace_id": world.workspace_id}, allocated_cpu_millicores_total=10_000)
    return world, deployment_id, await installation.operation(deployment_id)


async def test_a_deploy_that_failed_is_not_tried_again_with_its_key(installation: Installation) -> None:
    key = a_key()
    world, deployment_id, first = await failed(installation, key)
    before = await written(installation, world)
    await installation.forget(first)

    assert await refused(deploy(installation, deployment_id, key)) == ENDED

    assert await changes(installation, world, before) == []
    await installation.deploy(deployment_id)
    await assert_live(installation, world, deployment_id, rolled_back=False)


async def test_a_deploy_that_failed_disturbs_none_that_went_well_since(installation: Installation) -> None:
    key = a_key()
    world, deployment_id, first = await failed(installation, key)
    await installation.deploy(deployment_id)
    before = await written(installation, world)
    await installation.forget(first)

    assert await refused(deploy(installation, deployment_id, key)) == ENDED

    assert await changes(installation, world, before) == []


async def test_a_deploy_that_failed_disturbs_none_that_runs(installation: Installation) -> None:
    key = a_key()
    world, deployment_id, first = await failed(installation, key)
    await installation.forget(first)
    async with installation.held("await healthy regions.before") as reached:
        second = asyncio.ensure_future(installation.deploy(deployment_id))
        await appears(reached)
        before = await written(installation, world)

        assert await refused(deploy(installation, deployment_id, key, timeout=10)) == ENDED

        assert await changes(installation, world, before) == []
    await second
    await assert_live(installation, world, deployment_id, rolled_back=False)


async def test_a_deploy_that_failed_after_its_switch_is_not_tried_again_with_its_key(
    installation: Installation,
) -> None:
    world, key = await installation.world(), a_key()
    a, b = await installation.deployed(world), await installation.deployment(world)
    async with installation.held("switch traffic.after") as reached:
        call = asyncio.ensure_future(deploy(installation, b, key))
        await appears(reached)
        first = await installation.operation(b)
        await installation.cancel(first)
        if HEARS_IN_A_STEP:
            await asyncio.wait({call})
    await refused(call)
    before = await written(installation, world)
    await installation.forget(first)

    assert await refused(deploy(installation, b, key)) == ENDED

    assert await changes(installation, world, before) == []
    await assert_live(installation, world, a, rolled_back=False)


# ------------------------------------------------------------------------------------------------ rollback and promote


@pytest.mark.parametrize("kind", KINDS)
async def test_a_move_of_traffic_that_went_well_is_not_made_again(installation: Installation, kind: str) -> None:
    world, a, b = await one_replaced(installation)
    key = a_key()
    first = await move(installation, kind, (b, a), key)
    if kind == "promote":
        await rests(installation, b)
    before = await written(installation, world)
    await installation.forget(first)

    assert await move(installation, kind, (b, a), key) == first

    assert await changes(installation, world, before) == []
    await assert_live(installation, world, a, rolled_back=kind == "rollback")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_move_of_traffic_is_not_made_again_where_it_has_moved_elsewhere_since(
    installation: Installation, kind: str
) -> None:
    """Nor is its target woken."""
    world, a, b = await one_replaced(installation)
    key = a_key()
    first = await move(installation, kind, (b, a), key)
    await promote(installation, b)
    await rests(installation, a)
    before = await written(installation, world)
    await installation.forget(first)

    assert await move(installation, kind, (b, a), key) == first

    assert await changes(installation, world, before) == []
    await assert_live(installation, world, b, rolled_back=False)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_move_of_traffic_that_was_refused_is_not_made_with_its_key(
    installation: Installation, kind: str
) -> None:
    """Although it could be made by now."""
    world, a, b = await one_replaced(installation)
    key = a_key()
    await refused(move(installation, kind, (a, b), key))
    await promote(installation, a)
    await rests(installation, b)
    (first,) = await installation.rows(tables.hydra_operations, kind=kind, to_deployment_id=b)
    before = await written(installation, world)
    await installation.forget(first["id"])

    assert await refused(move(installation, kind, (a, b), key)) == ENDED

    assert await changes(installation, world, before) == []
    await assert_live(installation, world, a, rolled_back=False)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_move_of_traffic_that_was_cancelled_is_not_made_with_its_key(
    installation: Installation, kind: str
) -> None:
    world, a, b = await one_replaced(installation)
    key = a_key()
    async with installation.held("switch traffic.before") as reached:
        call = asyncio.ensure_future(move(installation, kind, (b, a), key))
        await appears(reached)
        (first,) = await installation.rows(tables.hydra_operations, kind=kind, to_deployment_id=a)
        await installation.cancel(first["id"])
        if HEARS_IN_A_STEP:
            await asyncio.wait({call})
    assert (await refused(call))[0] is grpc.StatusCode.CANCELLED
    await rests(installation, a)
    before = await written(installation, world)
    await installation.forget(first["id"])

    assert await refused(move(installation, kind, (b, a), key)) == ENDED

    assert await changes(installation, world, before) == []
    await assert_live(installation, world, b, rolled_back=False)


async def test_a_repeated_move_that_is_cancelled_undoes_nothing(installation: Installation) -> None:
    world, a, b = await one_replaced(installation)
    key = a_key()
    first = await move(installation, "rollback", (b, a), key)
    before = await written(installation, world)
    await installation.forget(first)
    async with installation.held("check rollback.before") as reached:
        call = asyncio.ensure_future(move(installation, "rollback", (b, a), key))
        await appears(reached)
        await installation.cancel(first)
        if HEARS_IN_A_STEP:
            await asyncio.wait({call})
    await asyncio.gather(call, return_exceptions=True)

    assert await changes(installation, world, before) == []
    await assert_live(installation, world, a, rolled_back=True)


# ---------------------------------------------------------------------------------------------------- scheduled change


async def test_a_scheduled_change_that_is_repeated_changes_nothing(installation: Installation) -> None:
    """Restate starts the message that stopped it once more, as an operator may ask; the stop is long over."""
    world, a, b = await one_replaced(installation)
    rows = await installation.admin_query(
        f"select id from sys_invocation where target_service_key = '{a}' and target_handler_name = 'ChangeDesiredState'"
    )
    await rollback(installation, b, a)
    await promote(installation, a)
    await rests(installation, b)
    before = await written(installation, world)
    url = f"{installation.stack.restate.admin_url}/invocations/{rows[0]['id']}/restart-as-new"
    async with installation.http.patch(url) as answer:
        assert answer.status == 200, await answer.text()
        repeated = (await answer.json())["new_invocation_id"]

    async def has_ended() -> bool:
        found = await installation.admin_query(f"select status from sys_invocation where id = '{repeated}'")
        return [row["status"] for row in found] == ["completed"]

    await until(has_ended)
    assert await changes(installation, world, before) == []
