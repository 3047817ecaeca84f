import pytest

from tests.installation import Installation
from tests.integration.limits.bounded import BoundedServer
from tests.integration.limits.caller import OK, request

pytestmark = pytest.mark.xdist_group("limits")

_BOUND = 64 * 1024  # of `small`
_BOMB = 512 * _BOUND  # and a thousandth of it when packed


@pytest.mark.parametrize("gzip", [False, True], ids=["plain", "gzip"])
async def test_a_message_of_just_the_bound_is_served(house: Installation, small: BoundedServer, gzip: bool) -> None:
    deployment_id = await house.deployment(await house.world())
    async with small.caller() as caller:
        assert await caller.deploy(request(deployment_id, _BOUND), gzip=gzip).outcome() == OK
    assert await house.status(deployment_id) == "ready"


@pytest.mark.parametrize(("size", "gzip"), [(_BOUND + 1, False), (16 * _BOUND, False), (_BOUND + 1, True)])
async def test_a_larger_message_is_refused(house: Installation, small: BoundedServer, size: int, gzip: bool) -> None:
    deployment_id = await house.deployment(await house.world())
    async with small.caller() as caller:
        outcome = await caller.deploy(request(deployment_id, size), gzip=gzip).outcome()
        assert outcome.code == "RESOURCE_EXHAUSTED"
        await caller.served(request(deployment_id))


async def test_a_message_that_is_large_when_unpacked_is_not_unpacked(small: BoundedServer) -> None:
    before = small.memory_bytes(highest=True)
    async with small.caller() as caller:
        for _ in range(4):
            outcome = await caller.deploy(request("d_bomb", _BOMB), gzip=True).outcome()
            assert outcome.code == "RESOURCE_EXHAUSTED"
    assert small.memory_bytes(highest=True) - before < _BOMB / 2
    assert await small.health() == "SERVING"


async def test_metadata_are_bounded(house: Installation, small: BoundedServer) -> None:
    deployment_id = await house.deployment(await house.world())
    async with small.caller() as caller:
        outcome = await caller.deploy(request(deployment_id), (("x-filling", "x" * _BOUND),)).outcome()
        assert outcome.code == "RESOURCE_EXHAUSTED"
        assert await caller.deploy(request(deployment_id)).outcome() == OK
