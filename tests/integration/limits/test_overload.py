"""What a server holds when it is asked for far more than it takes, and when those who asked are gone."""

import asyncio
import logging
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

from tests.installation import Installation
from tests.integration.limits.bounded import BoundedServer
from tests.integration.limits.caller import FULL, Outcome, request
from tests.waiting import until

pytestmark = pytest.mark.xdist_group("limits")

_PLACES = 20
_KEYS = {
    "max_message_bytes": 2 * 1024 * 1024,
    "max_waiting_calls": _PLACES,
    "max_concurrent_streams": 1000,
    "keepalive_timeout": "60s",  # to pack and send what is sent here may take a slow client long
}
_BOMB = 8 * 2 * 1024 * 1024
_HOLD = "await healthy regions.before"
_MIB = 1024 * 1024
log = logging.getLogger(__name__)
_FULL = bool(os.environ.get("HYDRA_TEST_FULL"))


@dataclass(frozen=True)
class Flood:
    """So many calls at once, each of that size, over that many connections."""

    calls: int
    size: int
    connections: int

    @property
    def bytes(self) -> int:
        return self.calls * self.size

    async def pour(self, server: BoundedServer, deployment_id: str) -> Counter[Outcome]:
        """Make the calls, and count how those ended that did not get one of the places."""
        message = request(deployment_id, self.size)
        async with AsyncExitStack() as stack:
            callers = [await stack.enter_async_context(server.caller()) for _ in range(self.connections)]
            calls = [callers[number % self.connections].deploy(message) for number in range(self.calls)]
            accepted = await asyncio.gather(*(call.accepted() for call in calls))
            refused = [call for call, invocation_id in zip(calls, accepted, strict=True) if not invocation_id]
            return Counter([await call.outcome() for call in refused])


LARGE = Flood(calls=1000 if _FULL else 300, size=_MIB, connections=5)
MANY = Flood(calls=3000 if _FULL else 1500, size=100, connections=5)


@pytest.fixture(scope="module")
async def roomy(house: Installation) -> AsyncIterator[BoundedServer]:
    async with BoundedServer(house.stack, _KEYS) as server:
        yield server


async def test_a_waiting_call_keeps_little_of_its_message(house: Installation) -> None:
    deployment_id = await house.deployment(await house.world())
    first, more = (100, 900) if _FULL else (4, 36)
    keys = {**_KEYS, "max_waiting_calls": first + more}
    async with BoundedServer(house.stack, keys) as server, house.held(_HOLD), server.caller() as caller:
        for _ in range(first):
            await caller.wait(request(deployment_id, _MIB))
        before = server.memory_bytes()
        for _ in range(more):
            await caller.wait(request(deployment_id, _MIB))
        each = (server.memory_bytes() - before) / more
    log.info("a waiting call takes %d KiB", each / 1024)
    assert each < _MIB / 2
    await house.deploy(deployment_id)


@pytest.mark.parametrize("flood", [LARGE, MANY], ids=["large", "many"])
async def test_a_flood_is_refused_and_leaves_nothing(house: Installation, roomy: BoundedServer, flood: Flood) -> None:
    world = await house.world()
    flooded, later = await house.deployment(world), await house.deployment(world)
    async with house.held(_HOLD):
        for _ in range(3):
            refused = await flood.pour(roomy, flooded)
            assert refused.keys() == {FULL}
            assert refused[FULL] >= flood.calls - _PLACES  # more where a place of the round before was not free yet
            assert await roomy.health() == "SERVING"
    assert roomy.memory_bytes(highest=True) - roomy.floor_bytes < LARGE.bytes / 3
    async with roomy.caller() as caller:
        for deployment_id in (flooded, later):
            await caller.served(request(deployment_id))
            assert await house.status(deployment_id) == "ready"


async def test_many_that_are_too_large_are_refused_without_a_stir(roomy: BoundedServer) -> None:
    message = request("d_none", _BOMB)
    async with roomy.caller() as caller:
        for _ in range(2):
            outcomes = await asyncio.gather(*(caller.deploy(message, gzip=True).outcome() for _ in range(_PLACES)))
            assert set(outcomes) - {FULL} == {Outcome("RESOURCE_EXHAUSTED")}
    assert "Traceback" not in roomy.process.log.read_text()


async def test_a_client_that_is_killed_leaves_nothing(house: Installation, roomy: BoundedServer) -> None:
    deployment_id = await house.deployment(await house.world())
    ingress = house.stack.ports.ingress
    before = roomy.connections_to(ingress)

    async def are_open() -> bool:
        return roomy.connections_to(ingress) >= _PLACES

    async def are_closed() -> bool:
        return roomy.connections_to(ingress) <= before + 1  # the one that asks for its health

    async with house.held(_HOLD):
        client = await roomy.client(deployment_id, _PLACES)
        await until(are_open)
        client.kill()
        await client.wait()
        await until(are_closed)
        assert await house.status(deployment_id) != "ready"

    async def is_ready() -> bool:
        return await house.status(deployment_id) == "ready"

    await until(is_ready)


async def test_a_server_that_stops_sends_all_away(house: Installation) -> None:
    deployment_id = await house.deployment(await house.world())
    async with BoundedServer(house.stack, _KEYS) as server, house.held(_HOLD), server.caller() as caller:
        calls = await caller.wait(request(deployment_id), _PLACES)
        os.kill(server.process.pid, signal.SIGTERM)
        draining = Outcome("UNAVAILABLE", "SERVER_DRAINING", 1000)
        assert [await call.outcome() for call in calls] == [draining] * _PLACES

        async def has_ended() -> bool:
            return server.process.exit_code is not None

        await until(has_ended)
        assert server.process.exit_code == 0
    await house.deploy(deployment_id)
