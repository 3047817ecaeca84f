"""An ingress that takes connections and never answers: who waits for it is told, and gives the place back."""

from collections.abc import AsyncIterator

import pytest

from tests.installation import Installation
from tests.integration.limits.bounded import BoundedServer
from tests.integration.limits.caller import FULL, OK, Outcome, request
from tests.integration.limits.front import Front
from tests.waiting import until

pytestmark = pytest.mark.xdist_group("limits")

_PLACES = 2


@pytest.fixture
async def front(house: Installation) -> AsyncIterator[Front]:
    async with Front(house.stack.ports.ingress) as front:
        yield front


@pytest.fixture
async def beyond(house: Installation, front: Front) -> AsyncIterator[BoundedServer]:
    """Run a server that finds the ingress at the front."""
    environ = {"HYDRA_RESTATE__INGRESS_URL": f"http://127.0.0.1:{front.port}"}
    async with BoundedServer(house.stack, {"max_waiting_calls": _PLACES}, environ) as server:
        yield server


async def test_calls_that_cannot_be_handed_over_end_in_time(
    house: Installation, front: Front, beyond: BoundedServer
) -> None:
    deployment_id = await house.deployment(await house.world())
    away = Outcome("UNAVAILABLE", "RESTATE_UNAVAILABLE", 1000)
    async with beyond.caller() as caller:
        front.silent = True
        calls = [caller.deploy(request(deployment_id)) for _ in range(_PLACES)]

        async def are_sent() -> bool:
            return front.heard.count(b"/Deploy/send") == _PLACES

        await until(are_sent)
        assert await caller.deploy(request(deployment_id)).outcome() == FULL
        assert [await call.outcome() for call in calls] == [away] * _PLACES
        front.silent = False
        assert await caller.deploy(request(deployment_id)).outcome() == OK
    assert await house.status(deployment_id) == "ready"
