"""What the model test, or thinking about it, found once: each a sequence of its own (06 · T1 to T9).

And one sequence of each misfortune, which random ones meet seldom: they take their time.
"""

import asyncio

import pytest

from tests.integration.model.both import Both
from tests.integration.model.expected import PREVIEW, PRODUCTION, REGIONS
from tests.integration.model.test_model import FULL
from tests.servers.mariadb import MariaDB
from tests.waiting import appears, until


async def deploy(both: Both, environment: str = PRODUCTION) -> int:
    await both.do("begin", environment)
    number = len(both.expected.deployments) - 1
    await both.do("finish", number)
    return number


async def begin(both: Both, environment: str = PRODUCTION) -> int:
    await both.do("begin", environment)
    return len(both.expected.deployments) - 1


async def overtaken(both: Both, first: tuple[str, int], rollback: tuple[int, int]) -> None:
    """Begin a rollback while another operation is at its switch, so that the rollback is refused at its own."""
    name, target = first
    driver = both.driver
    async with driver.installation.held("switch traffic.before") as reached:
        winner = asyncio.ensure_future(getattr(driver, name)(target))

        async def queued() -> bool:
            rows = await driver.installation.admin_query(
                "select id from sys_invocation where target_handler_name = 'SwitchTraffic' "
                f"and target_service_key = '{driver.world.app.id}' and status <> 'completed'"
            )
            return len(rows) == 2

        await appears(reached)
        loser = asyncio.ensure_future(driver.rollback(*rollback))
        await until(queued)
    assert await winner
    assert not await loser
    await both.turned_out(first)


async def test_a_rollback_that_a_promote_overtakes_does_not_schedule_what_is_live(both: Both) -> None:
    """Promote A wins over the rollback to A: A was due to rest before, and is live now."""
    a, b = await deploy(both), await deploy(both)

    await overtaken(both, ("promote", a), (b, a))


async def test_what_lost_its_hold_during_a_refused_rollback_to_it_is_not_forgotten(both: Both) -> None:
    """C is held by an open rollback until a promote past it; a rollback to C that comes too late leaves it due."""
    a, c, x = [await deploy(both) for _ in range(3)]
    await both.do("rollback", x, c)
    await both.do("rollback", c, a)

    await overtaken(both, ("promote", x), (a, c))


async def test_a_sleeper_that_two_wake_goes_on_running_when_one_of_them_is_refused(both: Both) -> None:
    a, b = await deploy(both), await deploy(both)
    await both.do("rest", a)

    await overtaken(both, ("promote", a), (b, a))


async def test_what_rests_and_may_run_nowhere_is_not_to_rest_once_more(both: Both) -> None:
    """A rollback to it is refused after it has begun, and leaves no stop behind that would come later."""
    a, b = await deploy(both), await deploy(both)
    await both.do("rest", a)
    for region in REGIONS:
        await both.do("drain", region)

    assert not await both.do("rollback", b, a)
    assert not await both.do("promote", a)
    assert not await both.do("start", a)

    await both.in_order()


async def test_a_region_is_drained_and_takes_work_again(both: Both) -> None:
    one, other = REGIONS
    a, b = await deploy(both), await deploy(both)
    await both.do("rest", a)
    await both.do("drain", one)
    await both.do("rollback", b, a)
    c = await deploy(both)
    await both.do("promote", c)
    await both.do("undrain", one)
    await both.do("drain", other)
    await both.do("rollback", c, b)
    assert both.expected.deployments[c].runs == {other}
    await both.do("round", thorough=True)
    await both.in_order()


async def test_no_call_is_made_twice(both: Both) -> None:
    a, b = await deploy(both), await deploy(both)
    failing, cancelled = await begin(both), await begin(both, PREVIEW)
    await both.do("fail", failing)
    await both.do("cancel", cancelled)
    await both.do("rest", a)
    await both.do("start", a)
    await both.do("rollback", b, a)
    await both.do("rollback", b, a)
    await both.do("promote", a)
    await both.do("sweep")
    assert len(both.driver.ended()) == 9
    for number in both.driver.ended():
        await both.repeated(number)
    await both.in_order()


async def test_a_swept_preview_is_started(both: Both) -> None:
    preview = await deploy(both, PREVIEW)
    await both.do("sweep")
    await both.do("start", preview)
    await both.do("hours")
    await both.do("round", thorough=True)
    await both.in_order()


async def test_what_is_dead_is_settled_or_deployed_again(both: Both) -> None:
    a, b = await deploy(both), await deploy(both)
    dead, taken_over = await begin(both), await begin(both)
    await both.do("kill", dead)
    await both.do("kill", taken_over)
    await both.do("again", taken_over)
    await both.undone("killed", "before", "rollback", b, a)
    await both.do("finish", taken_over)
    await both.do("again", dead)
    await both.do("finish", dead)
    await both.undone("killed", "before", "finish", await begin(both))
    await both.in_order()


async def test_a_dead_move_of_traffic_is_settled_late(both: Both) -> None:
    """Its target was woken for it, and has had a place since."""
    a, b = await deploy(both), await deploy(both)
    await both.do("rest", a)
    await both.do("kill_takeover", "rollback", b, a)
    await both.do("promote", a)
    await both.do("rollback", a, b)
    await both.do("round")
    await both.do("promote", b)
    await both.do("kill_takeover", "promote", a)
    await both.do("rest", a)
    await both.do("round", thorough=False)
    assert both.expected.pending == {a}
    await both.in_order()


async def test_what_a_round_puts_to_rest_it_does_not_find_to_run_for_nothing(both: Both) -> None:
    """A dead rollback has woken its target, whose own stop was long ago."""
    a, b = await deploy(both), await deploy(both)
    await both.do("hours")
    for _ in range(5):
        await both.undone("killed", "before", "rollback", b, a)
    await both.in_order()


async def test_a_stop_that_was_never_scheduled_is_made_up_for(both: Both) -> None:
    a, b = await deploy(both), await deploy(both)
    c = await begin(both)
    await both.do("cut_short", "finish", c)
    assert await both.do("round") == frozenset()
    await both.do("hours")
    assert await both.do("round") == {b}
    await both.do("start", b)
    await both.do("hours")
    assert await both.do("round") == frozenset()
    await both.do("rollback", c, a)
    await both.in_order()


async def test_what_happens_at_the_same_time_happens_one_after_the_other(both: Both) -> None:
    a, b = await deploy(both), await deploy(both)
    await both.race(("rollback", b, a), ("rest", a))
    await both.race(("promote", b), ("round",))
    await both.do("rest", a)
    await both.race(("start", a), ("promote", a))
    await both.race(("rollback", a, b), ("promote", b))
    await both.race(("finish", await begin(both)), ("rollback", b, a))
    await both.in_order()


@pytest.mark.parametrize("point", ["before", "after"])
async def test_what_is_cancelled_at_its_switch_is_undone(both: Both, point: str) -> None:
    a, b = await deploy(both), await deploy(both)
    preview = await deploy(both, PREVIEW)
    await both.do("sweep")
    await both.undone("cancelled", point, "finish", await begin(both, PREVIEW))
    assert both.expected.deployments[preview].desired == ("standby" if point == "before" else "running")
    await both.undone("cancelled", point, "finish", await begin(both))
    await both.undone("cancelled", point, "promote", a)
    await both.do("rest", a)
    await both.undone("cancelled", point, "rollback", b, a)
    await both.do("rollback", b, a)
    await both.undone("cancelled", point, "promote", a)
    await both.in_order()


async def test_the_database_is_away_for_longer_than_every_budget(both: Both, server: MariaDB | None) -> None:
    """Once where a file is locked, which takes longer."""
    a, b = await deploy(both), await deploy(both)
    await both.undone("cut off", "after", "rollback", b, a)
    if server is not None or FULL:
        await both.undone("given up", "before", "finish", await begin(both))
    await both.in_order()


async def test_the_worker_vanishes(both: Both) -> None:
    a, b = await deploy(both), await begin(both)
    other = await begin(both, PREVIEW)
    await both.interrupted("dies", "after", "finish", b)
    await both.interrupted("pauses", "before", "rollback", b, a)
    await both.do("finish", other)
    await both.in_order()
