"""What the model test, or thinking about it, found once: each a sequence of its own (06 · T1 to T9)."""

import asyncio

import pytest

from tests.inside_caller import InsideCaller
from tests.installation import Installation
from tests.integration.model.driver import REGION, Driver
from tests.integration.model.expected import PRODUCTION, Expected
from tests.waiting import until


@pytest.fixture
async def driver(patient: Installation, inside: InsideCaller) -> Driver:
    return Driver(patient, inside, await patient.world(regions=(REGION,)))


async def deploy(driver: Driver, expected: Expected) -> int:
    number = expected.begin(PRODUCTION)
    await driver.begin(PRODUCTION)
    expected.finish(number)
    assert await driver.finish(number)
    return number


async def overtaken(driver: Driver, first: tuple[str, int], rollback: tuple[int, int]) -> None:
    """Begin a rollback while another operation is at its switch, so that the rollback is refused at its own."""
    name, target = first
    async with driver.installation.held("switch traffic.before") as reached:
        winner = asyncio.ensure_future(getattr(driver, name)(target))

        async def held() -> bool:
            return reached.exists()

        async def queued() -> bool:
            rows = await driver.installation.admin_query(
                "select id from sys_invocation where target_handler_name = 'SwitchTraffic' "
                f"and target_service_key = '{driver.world.app.id}' and status <> 'completed'"
            )
            return len(rows) == 2

        await until(held)
        loser = asyncio.ensure_future(driver.rollback(*rollback))
        await until(queued)
    assert await winner
    assert not await loser


async def test_a_rollback_that_a_promote_overtakes_does_not_schedule_what_is_live(driver: Driver) -> None:
    """Promote A wins over the rollback to A: A was due to rest before, and is live now."""
    expected = Expected()
    a, b = await deploy(driver, expected), await deploy(driver, expected)

    await overtaken(driver, ("promote", a), (b, a))

    expected.promote(a)
    assert await driver.agrees(expected), (expected.seen(), await driver.seen())


async def test_what_lost_its_hold_during_a_refused_rollback_to_it_is_not_forgotten(driver: Driver) -> None:
    """C is held by an open rollback until a promote past it; a rollback to C that comes too late leaves it due."""
    expected = Expected()
    a, c, x = [await deploy(driver, expected) for _ in range(3)]
    assert expected.rollback(x, c)
    assert await driver.rollback(x, c)
    assert expected.rollback(c, a)
    assert await driver.rollback(c, a)

    await overtaken(driver, ("promote", x), (a, c))

    expected.promote(x)
    assert await driver.agrees(expected), (expected.seen(), await driver.seen())


async def test_a_sleeper_that_two_wake_goes_on_running_when_one_of_them_is_refused(driver: Driver) -> None:
    expected = Expected()
    a, b = await deploy(driver, expected), await deploy(driver, expected)
    assert await driver.agrees(expected)
    expected.rest(a)
    await driver.rest(a)
    assert await driver.agrees(expected)

    await overtaken(driver, ("promote", a), (b, a))

    expected.promote(a)
    assert await driver.agrees(expected), (expected.seen(), await driver.seen())
