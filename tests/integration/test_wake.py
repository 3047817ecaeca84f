"""Deploying what is ready and rests wakes it: the way back for a preview that was swept, or stopped by hand."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import pytest

from service.database import tables
from service.dev.workload import AgentBehaviour
from service.dev.world import World
from tests.inside_caller import InsideCaller
from tests.installation import IMAGE, Installation, deploy_request
from tests.integration.test_desired_state import (
    ARCHIVED,
    HOUR_MS,
    STANDBY,
    desired,
    pending,
    schedule,
    until_desired,
    until_instances,
    versions,
)
from tests.integration.test_quota import facts_of
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("in_order")


@pytest.fixture(scope="module")
async def inside(installation: Installation) -> AsyncIterator[InsideCaller]:
    async with InsideCaller(installation) as caller:
        yield caller


async def stopped(
    installation: Installation, inside: InsideCaller, state: int = STANDBY, environment: str = "preview"
) -> tuple[World, str]:
    """Deploy, and stop that by hand; gives the deployment, of which nothing runs any more."""
    world = await installation.world()
    deployment_id = await installation.deployed(world, environment)
    await stop(installation, inside, deployment_id, state)
    return world, deployment_id


async def stop(installation: Installation, inside: InsideCaller, deployment_id: str, state: int = STANDBY) -> None:
    await schedule(inside, deployment_id, state, delay_ms=0)
    await until_desired(installation, deployment_id, "archived" if state == ARCHIVED else "standby", "stopped")
    await until_instances(installation, deployment_id, 0)


async def start(installation: Installation, deployment_id: str) -> str:
    """Deploy over gRPC; returns the operation's id."""
    call = installation.stub.Deploy(deploy_request(deployment_id), timeout=60)
    await call
    return str(dict(await call.initial_metadata())["x-restate-invocation-id"])


async def running(installation: Installation, deployment_id: str) -> int:
    rows = await installation.rows(tables.instances, deployment_id=deployment_id)
    return len([row for row in rows if row["status"] == "running"])


async def record(installation: Installation, operation_id: str) -> tuple[str, str, str]:
    row = await installation.row(tables.hydra_operations, id=operation_id)
    return row["kind"], row["state"], row["deployment_id"]


async def test_it_is_woken_and_healthy_when_the_call_ends(installation: Installation, inside: InsideCaller) -> None:
    world, preview = await stopped(installation, inside)
    routes, before = await installation.routes(world), await versions(installation, preview)

    operation = await start(installation, preview)

    assert await running(installation, preview) >= 2
    assert await desired(installation, preview) == ("running", {"running"})
    assert await installation.status(preview) == "ready"
    after = await versions(installation, preview)
    assert all(after[region] > before[region] for region in before)
    assert await installation.routes(world) == routes
    assert len(await installation.rows(tables.hydra_traffic_switches, deployment_id=preview)) == 1
    assert await record(installation, operation) == ("desired_state", "succeeded", preview)


async def test_what_was_to_stop_it_later_is_forgotten(installation: Installation, inside: InsideCaller) -> None:
    _, preview = await stopped(installation, inside)
    await schedule(inside, preview, ARCHIVED, delay_ms=HOUR_MS)

    await start(installation, preview)

    assert await pending(inside, preview) is None
    assert await desired(installation, preview) == ("running", {"running"})


async def test_each_rest_is_ended_by_a_call_of_its_own(installation: Installation, inside: InsideCaller) -> None:
    """Its key tells one rest from another; within the same one a repeat is the same call."""
    _, preview = await stopped(installation, inside)
    first = await start(installation, preview)
    await stop(installation, inside, preview)
    updated_at = (await installation.row(tables.deployments, id=preview))["updated_at"]

    second = await start(installation, preview)

    assert first != second
    (invocation,) = await installation.admin_query(f"select idempotency_key from sys_invocation where id = '{second}'")
    assert invocation["idempotency_key"] == f"start/{preview}/{updated_at}"
    assert await running(installation, preview) >= 2


async def test_one_that_was_replaced_runs_without_traffic(installation: Installation) -> None:
    world = await installation.world()
    replaced, live = await installation.deployed(world), await installation.deployed(world)
    await until_desired(installation, replaced, "standby", "stopped")
    await until_instances(installation, replaced, 0)
    routes = await installation.routes(world)

    await start(installation, replaced)

    assert await running(installation, replaced) >= 2
    assert await installation.live(world) == live
    assert await installation.routes(world) == routes


async def refused(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value.code(), facts_of(raised.value)["reason"]


async def test_one_that_never_becomes_healthy_rests_again(installation: Installation, inside: InsideCaller) -> None:
    _, preview = await stopped(installation, inside)
    for agent in installation.agents.values():
        agent.behave(AgentBehaviour(dead=True), preview)

    assert await refused(start(installation, preview)) == (grpc.StatusCode.ABORTED, "REGIONS_UNHEALTHY")

    await until_desired(installation, preview, "standby", "stopped")
    assert await installation.status(preview) == "ready"
    (failed,) = await installation.rows(tables.hydra_operations, deployment_id=preview, state="failed")
    assert (failed["kind"], failed["reason"]) == ("desired_state", "REGIONS_UNHEALTHY")


async def test_one_whose_start_is_cancelled_rests_again(installation: Installation, inside: InsideCaller) -> None:
    _, preview = await stopped(installation, inside)
    for agent in installation.agents.values():
        agent.behave(AgentBehaviour(dead=True), preview)
    starting = asyncio.ensure_future(start(installation, preview))

    async def is_woken() -> bool:
        return starting.done() or await desired(installation, preview) == ("running", {"running"})

    await until(is_woken)
    (operation,) = await installation.rows(tables.hydra_operations, deployment_id=preview, state="running")
    await installation.cancel(operation["id"])

    assert (await refused(starting))[0] is grpc.StatusCode.CANCELLED
    await until_desired(installation, preview, "standby", "stopped")
    assert await record(installation, operation["id"]) == ("desired_state", "cancelled", preview)


async def test_one_whose_start_restate_has_lost_is_started_by_the_same_call(
    installation: Installation, inside: InsideCaller
) -> None:
    """It is the same operation, which goes on where its record says that it was."""
    _, preview = await stopped(installation, inside)
    for agent in installation.agents.values():
        agent.behave(AgentBehaviour(dead=True), preview)
    path, body = f"/hydra.v1.DeployService/{preview}/Deploy", {"deploymentId": preview, "dockerImage": {"image": IMAGE}}
    key = {"idempotency-key": f"mine-{preview}"}
    lost = (await installation.ingress(f"{path}/send", body, headers=key)).body["invocationId"]
    await until_desired(installation, preview, "running", "running")
    await installation.kill(lost)
    await installation.forget(lost)
    for agent in installation.agents.values():
        agent.behave(AgentBehaviour(), preview)

    answer = await asyncio.wait_for(installation.ingress(path, body, headers=key), 60)

    assert (answer.status, answer.headers["x-restate-id"]) == (200, lost)
    assert await running(installation, preview) >= 2
    assert await record(installation, lost) == ("desired_state", "succeeded", preview)


async def test_one_that_is_archived_is_not_woken(installation: Installation, inside: InsideCaller) -> None:
    _, preview = await stopped(installation, inside, ARCHIVED)
    before = await versions(installation, preview)

    assert await refused(start(installation, preview)) == (grpc.StatusCode.FAILED_PRECONDITION, "ARCHIVED")

    assert await versions(installation, preview) == before
    assert await desired(installation, preview) == ("archived", {"stopped"})


async def test_one_that_runs_is_left_as_it_is(installation: Installation) -> None:
    world = await installation.world()
    preview = await installation.deployed(world, "preview")
    before = await versions(installation, preview)

    await start(installation, preview)

    assert await versions(installation, preview) == before


async def test_one_that_is_to_run_and_runs_in_no_region_is_woken(
    installation: Installation, inside: InsideCaller
) -> None:
    _, preview = await stopped(installation, inside)
    await installation.set(tables.deployments, {"id": preview}, desired_state="running")

    await start(installation, preview)

    assert await desired(installation, preview) == ("running", {"running"})
    assert await running(installation, preview) >= 2


async def test_a_call_with_another_key_waits_for_the_one_that_wakes(
    installation: Installation, inside: InsideCaller
) -> None:
    """What it is told is true: that the deployment runs."""
    _, preview = await stopped(installation, inside)
    for agent in installation.agents.values():
        agent.behave(AgentBehaviour(dead=True), preview)
    first = asyncio.ensure_future(start(installation, preview))

    async def is_woken() -> bool:
        return await desired(installation, preview) == ("running", {"running"})

    await until(is_woken)
    metadata = (("idempotency-key", f"another-{preview}"),)
    second = asyncio.ensure_future(_deploy(installation, preview, metadata))
    done, _ = await asyncio.wait({first, second}, timeout=1)
    assert not done

    for agent in installation.agents.values():
        agent.behave(AgentBehaviour(), preview)
    await asyncio.gather(first, second)
    assert await running(installation, preview) >= 2


async def _deploy(installation: Installation, deployment_id: str, metadata: tuple[tuple[str, str], ...]) -> None:
    await installation.stub.Deploy(deploy_request(deployment_id), timeout=60, metadata=metadata)
