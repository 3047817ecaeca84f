"""What a workspace may allocate (02 · 1.2, 06 · Q1 and Q2)."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import grpc.aio
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from hydra.v1 import deploy_pb2

from service.database import tables
from service.dev.stack import LocalStack
from service.dev.workload import AgentBehaviour
from service.dev.world import World
from tests.installation import Installation, stack_options
from tests.servers.mariadb import MariaDB
from tests.waiting import until

NEEDED = 256  # millicores and MiB of one replica, as the sample world has it
ONE_REGION = ("us-east-1",)
ONE_AND_A_BIT = {  # more than one deployment, less than two
    "regions": ONE_REGION,
    "quota_cpu_millicores": NEEDED * 17 // 10,
    "quota_memory_mib": NEEDED * 17 // 10,
}


async def refused(installation: Installation, deployment_id: str) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await installation.deploy(deployment_id)
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    return raised.value


def facts_of(error: grpc.aio.AioRpcError) -> dict[str, str]:
    """Read the figures that travel with a refusal."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type] # an AioRpcError has what a call has
    assert status is not None
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return {"reason": info.reason, **info.metadata}


async def running(installation: Installation, world: World) -> int:
    """Count the workspace's topologies that are to run."""
    found = await installation.rows(
        tables.deployment_topology, workspace_id=world.workspace_id, desired_status="running"
    )
    return len(found)


async def assert_refused_in_order(installation: Installation, deployment_id: str, message: str) -> None:
    assert await installation.status(deployment_id) == "failed"
    steps = await installation.steps(deployment_id)
    assert steps["deploying"]["error"] == message
    assert all(step["ended_at"] is not None for step in steps.values())
    assert await installation.rows(tables.deployment_topology, deployment_id=deployment_id) == []
    assert await installation.rows(tables.cilium_network_policies, deployment_id=deployment_id) == []
    assert await installation.rows(tables.frontline_routes, deployment_id=deployment_id) == []


# ------------------------------------------------------------------------------------------------------- Q1: together


@pytest.mark.parametrize(("deploys", "room"), [(2, 1), (6, 2)])
async def test_deploys_that_fit_alone_but_not_together(installation: Installation, deploys: int, room: int) -> None:
    """As many as fit are let through, whatever the order in which they come to the quota."""
    apps = tuple(f"app-{number}" for number in range(deploys))
    world = await installation.world(
        apps=apps, regions=ONE_REGION, quota_cpu_millicores=NEEDED * room + NEEDED // 2, quota_memory_mib=10**6
    )
    all_of_them = [await installation.deployment(world, app=app) for app in apps]
    async with installation.held("provision regions.before"):
        calls = [asyncio.ensure_future(installation.deploy(deployment_id)) for deployment_id in all_of_them]

        async def all_are_there() -> bool:
            return {await installation.status(deployment_id) for deployment_id in all_of_them} == {"deploying"}

        await until(all_are_there)
    ends = dict(zip(all_of_them, await asyncio.gather(*calls, return_exceptions=True), strict=True))

    ready = [deployment_id for deployment_id, end in ends.items() if end is None]
    assert len(ready) == room
    assert {await installation.status(deployment_id) for deployment_id in ready} == {"ready"}
    for deployment_id, error in ends.items():
        if deployment_id in ready:
            continue
        assert isinstance(error, grpc.aio.AioRpcError)
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        await assert_refused_in_order(installation, deployment_id, str(error.details()))
    assert await running(installation, world) == room


@pytest.mark.parametrize(
    ("resource", "unit", "quota"),
    [
        ("CPU", "millicores", {"quota_cpu_millicores": 3 * NEEDED * 2 - 1}),
        ("memory", "MiB", {"quota_memory_mib": 3 * NEEDED * 2 - 1}),
    ],
)
async def test_a_refusal_names_the_figures(
    installation: Installation, resource: str, unit: str, quota: dict[str, int]
) -> None:
    world = await installation.world(apps=("default", "api"), **quota)
    await installation.deployed(world)
    deployment_id = await installation.deployment(world, app="api")

    error = await refused(installation, deployment_id)
    facts = facts_of(error)
    assert facts["reason"] == "QUOTA_EXCEEDED"
    assert (facts["resource"], facts["unit"]) == (resource, unit)
    assert (facts["quota"], facts["allocated"], facts["requested"]) == ("1535", "768", "768")
    message = str(error.details())
    assert all(figure in message for figure in ("1535", "768", unit))
    await assert_refused_in_order(installation, deployment_id, message)


async def test_the_last_bit_of_a_quota_may_be_used(installation: Installation) -> None:
    world = await installation.world(apps=("default", "api"), quota_cpu_millicores=6 * NEEDED, quota_memory_mib=1536)
    await installation.deployed(world)
    await installation.deploy(await installation.deployment(world, app="api"))
    assert await running(installation, world) == 6


async def test_other_workspaces_do_not_count(installation: Installation) -> None:
    for _ in range(2):
        world = await installation.world(quota_cpu_millicores=3 * NEEDED)
        await installation.deployed(world)


async def test_a_workspace_without_a_quota_is_refused(installation: Installation) -> None:
    world = await installation.world(regions=ONE_REGION)
    await installation.database.transact(
        lambda conn: conn.execute(tables.quota.delete().where(tables.quota.c.workspace_id == world.workspace_id))
    )
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await installation.deployed(world)
    assert raised.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert await running(installation, world) == 0


# ------------------------------------------------------------------------------------------------- counted only once


async def test_a_second_attempt_is_not_counted_beside_the_first(installation: Installation) -> None:
    """Even while the first attempt's topologies still run, as they do when its worker and its undo were lost."""
    world = await installation.world(regions=ONE_REGION, quota_cpu_millicores=NEEDED, quota_memory_mib=NEEDED)
    deployment_id = await installation.deployment(world)
    agent = installation.agents[ONE_REGION[0]]
    agent.behave(AgentBehaviour(dead=True), deployment_id)
    call = asyncio.ensure_future(installation.deploy(deployment_id))

    async def provisioned() -> bool:
        return await running(installation, world) == 1

    await until(provisioned)
    await installation.kill(await operation_of(installation, deployment_id))
    with pytest.raises(grpc.aio.AioRpcError):
        await call
    assert await running(installation, world) == 1

    agent.behave(AgentBehaviour(), deployment_id)
    await installation.deploy(deployment_id)
    assert await installation.status(deployment_id) == "ready"
    assert await running(installation, world) == 1


async def operation_of(installation: Installation, deployment_id: str) -> str:
    attempt = await installation.row(tables.hydra_deployment_attempts, deployment_id=deployment_id)
    return str(attempt["operation_id"])


async def test_what_failed_does_not_count(installation: Installation) -> None:
    world = await installation.world(regions=ONE_REGION, quota_cpu_millicores=NEEDED, quota_memory_mib=NEEDED)
    failed = await installation.deployment(world)
    agent = installation.agents[ONE_REGION[0]]
    agent.behave(AgentBehaviour(dead=True), failed)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await installation.deploy(failed)
    assert raised.value.code() is grpc.StatusCode.ABORTED

    agent.behave(AgentBehaviour(), failed)
    await installation.deploy(failed)
    assert await installation.status(failed) == "ready"


# ---------------------------------------------------------------------------------------------------- Q2: the surge


@pytest.mark.parametrize("environment", ["production", "preview"])
async def test_the_deployment_that_is_replaced_does_not_count(installation: Installation, environment: str) -> None:
    world = await installation.world(quota_cpu_millicores=5 * NEEDED, quota_memory_mib=5 * NEEDED)
    await installation.deployed(world, environment)
    assert await running(installation, world) == 3  # 60 %
    await installation.deployed(world, environment)


async def test_what_another_environment_runs_counts(installation: Installation) -> None:
    """A preview replaces nothing of production."""
    world = await installation.world(quota_cpu_millicores=5 * NEEDED, quota_memory_mib=5 * NEEDED)
    await installation.deployed(world)
    await refused(installation, await installation.deployment(world, "preview"))


@pytest.fixture(scope="module")
async def strict(server: MariaDB | None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    """Run an installation that allows no surge."""
    folder = tmp_path_factory.mktemp("strict")
    options = stack_options(folder, await server.create_database() if server else "")
    without_haste = replace(options, deploy={"quota_surge": "false", "health_poll": '"20ms"'})
    async with Installation(LocalStack(folder, without_haste)) as running_one:
        yield running_one


async def test_without_surge_the_replaced_deployment_counts(strict: Installation) -> None:
    world = await strict.world(quota_cpu_millicores=5 * NEEDED, quota_memory_mib=5 * NEEDED)
    old = await strict.deployed(world)
    new = await strict.deployment(world)
    error = await refused(strict, new)
    await assert_refused_in_order(strict, new, str(error.details()))
    assert await strict.live(world) == old


async def test_without_surge_the_source_of_a_rollback_counts(strict: Installation) -> None:
    room = {"quota_cpu_millicores": NEEDED * 5 // 2, "quota_memory_mib": NEEDED * 5 // 2}
    world = await strict.world(regions=ONE_REGION, **room)
    old, new = await strict.deployed(world), await strict.deployed(world)
    await rollback(strict, new, old)
    await refused(strict, await strict.deployment(world))
    await promote(strict, old)
    await refused(strict, await strict.deployment(world))


# ------------------------------------------------------------------- Q2: what has lost its place, and is about to rest


@pytest.fixture(scope="module")
async def lasting(server: MariaDB | None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    """Run an installation in which what has lost its place runs on for as long as a test lasts."""
    folder = tmp_path_factory.mktemp("lasting")
    options = stack_options(folder, await server.create_database() if server else "", {"standby_delay": '"1h"'})
    async with Installation(LocalStack(folder, options)) as running_one:
        yield running_one


async def rollback(installation: Installation, source: str, target: str) -> None:
    request = deploy_pb2.RollbackRequest(source_deployment_id=source, target_deployment_id=target)
    await installation.stub.Rollback(request, timeout=30)


async def promote(installation: Installation, target: str) -> None:
    await installation.stub.Promote(deploy_pb2.PromoteRequest(target_deployment_id=target), timeout=30)


async def test_three_deploys_in_a_row_are_allowed(lasting: Installation) -> None:
    world = await lasting.world(**ONE_AND_A_BIT)
    for number in range(1, 4):
        latest = await lasting.deployed(world)
        assert await running(lasting, world) == number
    assert await lasting.live(world) == latest


async def test_a_deploy_after_a_rollback_that_was_confirmed_is_allowed(lasting: Installation) -> None:
    """The fix: what was rolled back from runs on for a while."""
    world = await lasting.world(**ONE_AND_A_BIT)
    old, new = await lasting.deployed(world), await lasting.deployed(world)
    await rollback(lasting, new, old)
    await promote(lasting, old)
    assert await running(lasting, world) == 2

    fix = await lasting.deployed(world)

    assert await lasting.live(world) == fix


async def test_a_deploy_while_a_rollback_is_open_is_allowed(lasting: Installation) -> None:
    """The fix, to be promoted: what was rolled back from runs until that is confirmed."""
    world = await lasting.world(**ONE_AND_A_BIT)
    old, new = await lasting.deployed(world), await lasting.deployed(world)
    await rollback(lasting, new, old)
    assert await running(lasting, world) == 2

    fix = await lasting.deployed(world)

    assert await lasting.status(fix) == "ready"
    assert await lasting.live(world) == old


async def test_what_a_rollback_holds_back_does_not_count(lasting: Installation) -> None:
    """A second fix while the rollback is open, and a third one once it is confirmed."""
    world = await lasting.world(**ONE_AND_A_BIT)
    old, new = await lasting.deployed(world), await lasting.deployed(world)
    await rollback(lasting, new, old)
    await lasting.deployed(world)

    second = await lasting.deployed(world)
    await promote(lasting, old)
    third = await lasting.deployed(world)

    assert (await lasting.status(second), await lasting.live(world)) == ("ready", third)


async def test_sources_of_several_open_rollbacks_do_not_count(lasting: Installation) -> None:
    world = await lasting.world(regions=ONE_REGION)
    oldest, older, old = [await lasting.deployed(world) for _ in range(3)]
    await rollback(lasting, old, older)
    await rollback(lasting, older, oldest)
    assert await running(lasting, world) == 3
    tight = {"allocated_cpu_millicores_total": NEEDED * 17 // 10, "allocated_memory_mib_total": NEEDED * 17 // 10}
    await lasting.set(tables.quota, {"workspace_id": world.workspace_id}, **tight)

    assert await lasting.status(await lasting.deployed(world)) == "ready"


async def test_a_deploy_after_a_promotion_is_allowed(lasting: Installation) -> None:
    world = await lasting.world(**ONE_AND_A_BIT)
    old, _ = await lasting.deployed(world), await lasting.deployed(world)
    await promote(lasting, old)
    assert await running(lasting, world) == 2

    assert await lasting.live(world) == old
    latest = await lasting.deployed(world)
    assert await lasting.live(world) == latest


async def test_previews_of_other_branches_count(lasting: Installation) -> None:
    """The first one has lost its environment's name, and keeps its branch's: it is not about to rest."""
    world = await lasting.world(**ONE_AND_A_BIT)
    for branch in ("one", "two"):
        await lasting.deployed(world, "preview", git_branch=branch)
    await refused(lasting, await lasting.deployment(world, "preview", git_branch="three"))


async def test_what_another_environment_has_replaced_counts(lasting: Installation) -> None:
    room = {"quota_cpu_millicores": NEEDED * 5 // 2, "quota_memory_mib": NEEDED * 5 // 2}
    world = await lasting.world(regions=ONE_REGION, **room)
    for _ in range(2):
        await lasting.deployed(world)
    await refused(lasting, await lasting.deployment(world, "preview"))


async def test_what_another_app_has_replaced_counts(lasting: Installation) -> None:
    world = await lasting.world(**ONE_AND_A_BIT, apps=("default", "api"))
    for _ in range(2):
        await lasting.deployed(world)
    await refused(lasting, await lasting.deployment(world, app="api"))


async def test_what_should_have_been_at_rest_for_long_counts(lasting: Installation) -> None:
    """Its stop was lost: it may run for ever."""
    world = await lasting.world(**ONE_AND_A_BIT)
    for _ in range(2):
        await lasting.deployed(world)
    await lasting.set(tables.hydra_traffic_switches, {"app_id": world.app.id}, switched_at=1)
    await refused(lasting, await lasting.deployment(world))
