"""Connections that are idle, silent, half-open or too busy, and calls whose message never comes."""

import asyncio
from contextlib import AsyncExitStack, suppress

import pytest

from tests.installation import Installation
from tests.integration.limits.bounded import BoundedServer
from tests.integration.limits.caller import FULL, request
from tests.integration.limits.wire import DEPLOY, ENHANCE_YOUR_CALM, Wire
from tests.waiting import until

pytestmark = pytest.mark.xdist_group("limits")

_PLACES = 2  # of `impatient`
_ALLOWED_PING_SECONDS = 0.3  # where it takes one in 100 ms
_HOLD = "await healthy regions.before"
_HUNDREDS = 300
_MORE_THAN_ALL_CALLS = 1200  # where it takes 2 that wait, and less than 1000 others


async def test_hundreds_of_idle_connections_do_no_harm(impatient: BoundedServer) -> None:
    before = impatient.descriptors()
    async with AsyncExitStack() as stack:
        wires = [await stack.enter_async_context(await Wire.open(impatient.address)) for _ in range(_HUNDREDS)]

        async def are_settled() -> bool:
            return all(wire.settings for wire in wires)

        await until(are_settled)
        assert impatient.descriptors() >= before + _HUNDREDS
        assert await impatient.health() == "SERVING"

    async def are_given_back() -> bool:
        return impatient.descriptors() <= before + 5

    await until(are_given_back)


async def test_who_connects_and_says_nothing_is_sent_away(impatient: BoundedServer) -> None:
    host, _, port = impatient.address.rpartition(":")
    silent = [await asyncio.open_connection(host, int(port)) for _ in range(50)]
    assert await impatient.health() == "SERVING"
    for reader, writer in silent:
        with suppress(ConnectionError):
            assert b"timeout" in await reader.read()  # to its end, which says why
        writer.transport.abort()


async def test_a_half_open_connection_is_given_up(house: Installation, impatient: BoundedServer) -> None:
    deployment_id = await house.deployment(await house.world())
    async with house.held(_HOLD), impatient.caller() as caller, await Wire.open(impatient.address) as wire:
        for _ in range(_PLACES):
            await wire.wait(request(deployment_id))
        assert await caller.deploy(request(deployment_id)).outcome() == FULL
        wire.answers_pings = False  # the machine is gone, and nobody closes its connection

        async def is_given_up() -> bool:
            return not wire.is_open

        await until(is_given_up)
        await caller.wait(request(deployment_id), _PLACES)
    await house.deploy(deployment_id)


async def test_who_pings_too_often_is_sent_away(impatient: BoundedServer) -> None:
    async with await Wire.open(impatient.address) as wire:

        async def is_sent_away() -> bool:
            wire.ping()
            return not wire.is_open

        await until(is_sent_away)
        assert wire.farewell == (ENHANCE_YOUR_CALM, b"too_many_pings")


async def test_who_waits_long_may_ping(house: Installation, impatient: BoundedServer) -> None:
    deployment_id = await house.deployment(await house.world())
    async with await Wire.open(impatient.address) as wire:
        async with house.held(_HOLD):
            stream = await wire.wait(request(deployment_id))
            for number in range(8):
                wire.ping()
                await asyncio.sleep(_ALLOWED_PING_SECONDS)
                assert wire.is_open, (number, wire.farewell)

        async def has_ended() -> bool:
            return stream in wire.ended

        await until(has_ended)
        assert (wire.farewell, wire.resets) == (None, {})
    assert await house.status(deployment_id) == "ready"


@pytest.mark.parametrize("path", [DEPLOY, "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"])
async def test_calls_without_a_message_stop_nobody(house: Installation, impatient: BoundedServer, path: str) -> None:
    deployment_id = await house.deployment(await house.world())
    async with await Wire.open(impatient.address) as wire, impatient.caller() as caller:
        streams = {wire.call(path=path) for _ in range(_MORE_THAN_ALL_CALLS)}

        async def are_too_many() -> bool:
            return bool(wire.ended)

        await until(are_too_many)
        await caller.served(request(deployment_id))

        async def are_ended() -> bool:  # those that were taken in, too: the message is to come soon
            return wire.ended == streams

        await until(are_ended)
        assert wire.is_open
    assert await impatient.health() == "SERVING"
    assert await house.status(deployment_id) == "ready"
