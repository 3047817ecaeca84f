"""What is live runs, and what a rollback may need: against undone deploys, and stops by hand and by their time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc.aio
import pytest
from hydra.v1 import routing_pb2

from service.database import tables
from service.dev.world import World
from service.errors import FailedPrecondition
from tests.inside_caller import InsideCaller
from tests.installation import Installation, hears_in_a_step
from tests.integration.reconciling.test_dead_operations import act, ended
from tests.integration.reconciling.test_lost import remove
from tests.integration.test_desired_state import (
    ARCHIVED,
    HOUR_MS,
    SERVICE,
    STANDBY,
    change,
    pending,
    schedule,
    until_changes,
    until_desired,
)
from tests.integration.test_desired_state import desired as desired_of_all
from tests.integration.test_traffic import assert_live, desired, rests, rollback, two_deployed
from tests.invariants import holds
from tests.waiting import appears, until

pytestmark = pytest.mark.usefixtures("in_order")


@pytest.fixture(scope="module")
async def inside(installation: Installation) -> AsyncIterator[InsideCaller]:
    async with InsideCaller(installation) as caller:
        yield caller


# ------------------------------------------------------------------------------------- a deploy that is undone late


@asynccontextmanager
async def a_cancelled_deploy(installation: Installation, deployment_id: str) -> AsyncIterator[None]:
    """Deploy, and cancel it at the end of the block, which begins when it has got its traffic."""
    async with installation.held("switch traffic.after") as reached:
        call = asyncio.ensure_future(installation.deploy(deployment_id))
        await appears(reached)
        yield
        await installation.cancel(await installation.operation(deployment_id))
        await asyncio.wait({call})
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    assert raised.value.code() is grpc.StatusCode.CANCELLED
    (operation,) = await installation.rows(tables.hydra_operations, kind="deploy", deployment_id=deployment_id)
    assert operation["state"] == "cancelled"


@dataclass(frozen=True)
class Paused:
    """A deploy whose workflow is paused: its operation's id, and the call that waits for its end."""

    operation_id: str
    call: "asyncio.Future[None]"


async def resume(installation: Installation, operation_id: str) -> None:
    """Let a paused workflow go on, unless it has ended meanwhile."""
    url = f"{installation.stack.restate.admin_url}/invocations/{operation_id}/resume"
    async with installation.http.patch(url) as answer:
        assert answer.status < 300 or answer.status == 409, await answer.text()


@asynccontextmanager
async def paused_after_its_switch(installation: Installation, deployment_id: str) -> AsyncIterator[Paused]:
    """Deploy, and have the workflow paused while the block lasts: it has got its traffic, and has not yet heard of it.

    At the end of the block it goes on, and has ended; how, its call tells.
    """
    async with installation.held("switch traffic.before") as reached:
        call = asyncio.ensure_future(installation.deploy(deployment_id))
        await appears(reached)
        operation = await installation.operation(deployment_id)
        await act(installation, operation, "pause")

        async def is_paused() -> bool:
            rows = await installation.admin_query(f"select status from sys_invocation where id = '{operation}'")
            return [row["status"] for row in rows] == ["paused"]

        await until(is_paused)
    try:

        async def has_its_traffic() -> bool:
            return await installation.status(deployment_id) == "ready"

        await until(has_its_traffic)
        yield Paused(operation, call)
    finally:
        if not call.done():  # what is cancelled while it is paused may have gone on by itself
            await resume(installation, operation)
        await asyncio.wait({call})
        await ended(installation, operation)


@hears_in_a_step
async def test_what_was_put_to_rest_meanwhile_runs_again_with_its_place(
    installation: Installation, inside: InsideCaller
) -> None:
    world = await installation.world()
    a, b = await installation.deployed(world), await installation.deployment(world)
    async with a_cancelled_deploy(installation, b):
        await schedule(inside, a, STANDBY, delay_ms=0)
        await until_desired(installation, a, "standby", "stopped")

    await assert_live(installation, world, a, rolled_back=False)
    assert await desired_of_all(installation, a) == ("running", {"running"})
    assert await installation.status(b) == "failed"
    await holds(installation, world, instances=True)


@hears_in_a_step
@pytest.mark.parametrize("end", ["archived", "deleted"])
async def test_where_there_is_nothing_to_go_back_to_what_is_live_stays_so_and_runs(
    installation: Installation, inside: InsideCaller, end: str
) -> None:
    world = await installation.world()
    a, b = await installation.deployed(world), await installation.deployment(world)
    async with a_cancelled_deploy(installation, b):
        if end == "archived":
            await schedule(inside, a, ARCHIVED, delay_ms=0)
            await until_desired(installation, a, "archived", "stopped")
        else:
            await remove(installation, tables.deployments, id=a)

    await assert_live(installation, world, b, rolled_back=False)
    assert await desired_of_all(installation, b) == ("running", {"running"})
    assert await installation.status(b) == "ready"
    await holds(installation, world, instances=True)
    if end == "deleted":
        await remove(installation, tables.deployment_topology, deployment_id=a)


@hears_in_a_step
async def test_a_deploy_that_got_its_place_again_by_another_operation_keeps_it(installation: Installation) -> None:
    """Traffic went back and came again while its workflow was paused, which is cancelled then."""
    world = await installation.world()
    a, b = await installation.deployed(world), await installation.deployment(world)
    async with paused_after_its_switch(installation, b) as paused:
        await rollback(installation, b, a)
        await rollback(installation, a, b)
        await installation.cancel(paused.operation_id)
    await asyncio.gather(paused.call, return_exceptions=True)  # it may have heard of its traffic first

    await assert_live(installation, world, b, rolled_back=True)
    assert await desired_of_all(installation, b) == ("running", {"running"})
    assert await installation.status(b) == "ready"
    await holds(installation, world, instances=True)


async def test_a_late_undo_takes_no_name_from_what_got_it_again_by_another_operation(
    installation: Installation, inside: InsideCaller
) -> None:
    """Its names lead where its own switch has led them, and yet they have been moved since."""
    world, a, b = await two_deployed(installation)
    await rollback(installation, b, a)
    await rollback(installation, a, b)

    request = routing_pb2.RevertTrafficRequest(operation_id=await installation.operation(b), deployment_id=b)
    await inside.call("hydra.v1.RoutingService", "RevertTraffic", world.app.id, request)

    await assert_live(installation, world, b, rolled_back=True)


# ------------------------------------------------------------------------------------------------------------- stops


async def stop(inside: InsideCaller, deployment_id: str, state: int = STANDBY) -> None:
    """Have a stop happen as its message does when its time has come."""
    await schedule(inside, deployment_id, state, delay_ms=HOUR_MS)
    await change(inside, deployment_id, (await pending(inside, deployment_id))["Nonce"], state)


async def refused(installation: Installation, inside: InsideCaller, deployment_id: str, state: int) -> str:
    """Have a stop refused, which changes nothing and is recorded; returns the reason."""
    before = await desired_of_all(installation, deployment_id)
    with pytest.raises(FailedPrecondition) as raised:
        await stop(inside, deployment_id, state)
    assert await desired_of_all(installation, deployment_id) == before == ("running", {"running"})
    (record,) = await installation.rows(tables.hydra_operations, state="failed", deployment_id=deployment_id)
    assert (record["kind"], record["reason"]) == ("desired_state", raised.value.reason)
    return raised.value.reason


@pytest.mark.parametrize("state", [STANDBY, ARCHIVED])
async def test_what_an_open_rollback_came_from_is_not_stopped(
    installation: Installation, inside: InsideCaller, state: int
) -> None:
    """It may be promoted at any time."""
    _, a, b = await two_deployed(installation)
    await rollback(installation, b, a)

    assert await refused(installation, inside, b, state) == "ROLLBACK_OPEN"


async def test_what_a_rollback_is_on_its_way_to_is_not_stopped(
    installation: Installation, inside: InsideCaller
) -> None:
    world, a, b = await two_deployed(installation)
    async with installation.held("switch traffic.before") as reached:
        rolling_back = asyncio.ensure_future(rollback(installation, b, a))
        await appears(reached)
        assert await refused(installation, inside, a, STANDBY) == "OPERATION_RUNNING"
    await rolling_back

    await assert_live(installation, world, a, rolled_back=True)


async def test_what_an_environments_name_leads_to_is_not_stopped(
    installation: Installation, inside: InsideCaller
) -> None:
    """Of any environment but that of previews, which are to rest when nobody calls them."""
    world = await installation.world(environments=("production", "staging", "preview"))
    staging, preview = [await installation.deployed(world, slug) for slug in ("staging", "preview")]

    assert await refused(installation, inside, staging, STANDBY) == "DEPLOYMENT_IS_LIVE"
    await stop(inside, preview)

    assert await desired_of_all(installation, preview) == ("standby", {"stopped"})


async def three_deployed(installation: Installation) -> tuple[World, str, str, str]:
    """Deploy twice, with the first at rest by now, and create a third."""
    world, z, a = await two_deployed(installation)
    await rests(installation, z)
    return world, z, a, await installation.deployment(world)


async def test_a_stop_that_is_sent_late_spares_what_an_open_rollback_came_from(
    installation: Installation, inside: InsideCaller
) -> None:
    world, z, a, b = await three_deployed(installation)
    changes = await changes_of(installation, a)
    async with paused_after_its_switch(installation, b) as paused:
        await rollback(installation, b, a)
        await rollback(installation, a, z)

    await paused.call
    await until_changes(installation, a, changes + 1)  # the stop that the deploy of b has sent by now
    await assert_live(installation, world, z, rolled_back=True)
    assert await desired_of_all(installation, a) == ("running", {"running"})
    assert await pending(inside, a) is None
    records = await installation.rows(tables.hydra_operations, kind="desired_state", deployment_id=a)
    assert [(row["state"], row["reason"]) for row in records] == [("failed", "ROLLBACK_OPEN")]


async def test_a_stop_that_is_sent_between_two_rollbacks_spares_what_the_second_came_from(
    installation: Installation, inside: InsideCaller
) -> None:
    """The stop is pending when the second rollback begins; it may come before that has its traffic, or after."""
    world, z, a, b = await three_deployed(installation)
    async with paused_after_its_switch(installation, b) as paused:
        await rollback(installation, b, a)
    await paused.call

    async def is_scheduled() -> bool:
        return await pending(inside, a) is not None

    await until(is_scheduled)
    await rollback(installation, a, z)
    await asyncio.sleep(2)  # longer than the stack's standby delay

    await assert_live(installation, world, z, rolled_back=True)
    assert await desired_of_all(installation, a) == ("running", {"running"})
    assert await desired(installation, b) == "running"


async def changes_of(installation: Installation, deployment_id: str) -> int:
    rows = await installation.admin_query(
        f"select id from sys_invocation where target_service_name = '{SERVICE}' "
        f"and target_service_key = '{deployment_id}' and target_handler_name = 'ChangeDesiredState'"
    )
    return len(rows)
