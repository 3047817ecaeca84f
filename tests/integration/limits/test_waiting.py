"""The bound on waiting calls: who is over it is refused at once, and a place is free as soon as its call is not."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from service.database import tables
from tests.installation import Installation
from tests.integration.limits.bounded import BoundedServer
from tests.integration.limits.caller import FULL, OK, SUBMIT, Outcome, request
from tests.integration.limits.wire import Wire
from tests.waiting import until

pytestmark = pytest.mark.xdist_group("limits")

_PLACES = 3  # of `small`
_HOLD = "await healthy regions.before"

Leave = Callable[[], Awaitable[None]]
Leaver = Callable[[BoundedServer, str], AbstractAsyncContextManager[Leave]]


async def test_one_call_too_many_is_refused_and_nothing_of_it_begun(house: Installation, small: BoundedServer) -> None:
    world = await house.world()
    waiting, refused = await house.deployment(world), await house.deployment(world)
    untouched = await house.row(tables.deployments, id=refused)
    async with small.caller() as caller:
        async with house.held(_HOLD):
            calls = await caller.wait(request(waiting), _PLACES)

            assert await caller.deploy(request(refused)).outcome() == FULL
            assert await caller.deploy(request(refused), SUBMIT).outcome() == FULL

            assert await small.health() == "SERVING"
            assert await house.row(tables.deployments, id=refused) == untouched
            assert await house.rows(tables.hydra_operations, deployment_id=refused) == []
            invocations = await house.admin_query("select target_service_key from sys_invocation")
            assert {waiting, refused} & {row.get("target_service_key") for row in invocations} == {waiting}
        assert [await call.outcome() for call in calls] == [OK] * _PLACES


async def test_a_call_that_is_refused_is_not_read(house: Installation, small: BoundedServer) -> None:
    deployment_id = await house.deployment(await house.world())
    async with house.held(_HOLD), small.caller() as caller, await Wire.open(small.address) as wire:
        await caller.wait(request(deployment_id), _PLACES)
        stream = wire.call()  # whose message never comes

        async def is_refused() -> bool:
            return stream in wire.ended

        await until(is_refused)
    await house.deploy(deployment_id)


async def test_submitted_calls_keep_no_place(house: Installation, small: BoundedServer) -> None:
    world = await house.world()
    waiting, *submitted = [await house.deployment(world) for _ in range(2 * _PLACES)]
    async with small.caller() as caller:
        async with house.held(_HOLD):
            calls = await caller.wait(request(waiting), _PLACES - 1)
            for deployment_id in submitted:
                await caller.served(request(deployment_id), SUBMIT)
            calls += await caller.wait(request(waiting))
        assert [await call.outcome() for call in calls] == [OK] * _PLACES
    for deployment_id in submitted:
        await house.deploy(deployment_id)


@asynccontextmanager
async def that_cancels(server: BoundedServer, deployment_id: str) -> AsyncIterator[Leave]:
    async with server.caller() as caller:
        (call,) = await caller.wait(request(deployment_id))

        async def cancel() -> None:
            call.cancel()

        yield cancel


@asynccontextmanager
async def that_closes(server: BoundedServer, deployment_id: str) -> AsyncIterator[Leave]:
    async with server.caller() as caller:
        await caller.wait(request(deployment_id))
        yield lambda: caller.channel.close(None)


@asynccontextmanager
async def that_is_cut_off(server: BoundedServer, deployment_id: str) -> AsyncIterator[Leave]:
    async with await Wire.open(server.address) as wire:
        await wire.wait(request(deployment_id))
        yield wire.cut


@asynccontextmanager
async def that_is_killed(server: BoundedServer, deployment_id: str) -> AsyncIterator[Leave]:
    client = await server.client(deployment_id, 1)

    async def kill() -> None:
        client.kill()
        await client.wait()

    yield kill


@pytest.mark.parametrize("leaver", [that_cancels, that_closes, that_is_cut_off, that_is_killed])
async def test_a_client_gives_its_place_back(house: Installation, small: BoundedServer, leaver: Leaver) -> None:
    deployment_id = await house.deployment(await house.world())
    async with small.caller() as caller:
        async with house.held(_HOLD), leaver(small, deployment_id) as leave:
            calls = await caller.wait(request(deployment_id), _PLACES - 1)
            assert await caller.deploy(request(deployment_id)).outcome() == FULL
            await leave()
            calls += await caller.wait(request(deployment_id))
        assert [await call.outcome() for call in calls] == [OK] * _PLACES
    assert await house.status(deployment_id) == "ready"


async def test_a_deadline_gives_its_place_back(house: Installation, small: BoundedServer) -> None:
    deployment_id = await house.deployment(await house.world())
    async with small.caller() as caller:
        async with house.held(_HOLD):
            await caller.served(request(deployment_id), SUBMIT)  # so there is a place
            calls = [caller.deploy(request(deployment_id), timeout=1) for _ in range(_PLACES)]
            assert Outcome("DEADLINE_EXCEEDED") in [await call.outcome() for call in calls]
            calls = await caller.wait(request(deployment_id), _PLACES)
        assert [await call.outcome() for call in calls] == [OK] * _PLACES


async def test_a_deploy_that_ends_gives_its_place_back(house: Installation, small: BoundedServer) -> None:
    world = await house.world()
    one, other = await house.deployment(world), await house.deployment(world)
    async with house.held(_HOLD), small.caller() as caller:
        (call,) = await caller.wait(request(one))
        await caller.wait(request(other), _PLACES - 1)
        assert await caller.deploy(request(other)).outcome() == FULL
        assert await house.kill(await call.accepted()) == 200
        assert await call.outcome() == Outcome("ABORTED", "KILLED")
        await caller.wait(request(other))
    await house.deploy(other)
