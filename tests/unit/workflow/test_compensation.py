import pytest

from service.errors import Cancelled, HydraError, Internal
from service.workflow.compensation import Compensation, CompensationFailed, Undo

CAUSE = Internal("the cause")


def recording(ran: list[str], name: str, fails_with: list[Exception] | None = None) -> Undo:
    async def undo(cause: HydraError) -> None:
        assert cause is CAUSE
        ran.append(name)
        if fails_with:
            raise fails_with.pop(0)

    return undo


async def test_runs_newest_first() -> None:
    ran: list[str] = []
    compensation = Compensation()
    for name in ("first", "second", "third"):
        compensation.add(name, recording(ran, name))

    await compensation.execute(CAUSE)

    assert ran == ["third", "second", "first"]


async def test_runs_all_even_if_some_fail_and_joins_the_failures() -> None:
    ran: list[str] = []
    compensation = Compensation()
    compensation.add("first", recording(ran, "first", [Internal("disk full")]))
    compensation.add("second", recording(ran, "second"))
    compensation.add("third", recording(ran, "third", [Internal("no route")]))

    with pytest.raises(CompensationFailed) as raised:
        await compensation.execute(CAUSE)

    assert ran == ["third", "second", "first"]
    assert [name for name, _ in raised.value.failures] == ["third", "first"]
    assert raised.value.message == "2 undo steps failed: third: no route; first: disk full"


async def test_may_be_executed_again_and_runs_all_again() -> None:
    ran: list[str] = []
    compensation = Compensation()
    compensation.add("first", recording(ran, "first", [Internal("once")]))
    compensation.add("second", recording(ran, "second"))

    with pytest.raises(CompensationFailed):
        await compensation.execute(CAUSE)
    await compensation.execute(CAUSE)

    assert ran == ["second", "first", "second", "first"]


async def test_a_second_cancellation_does_not_cut_an_undo_off() -> None:
    ran: list[str] = []
    compensation = Compensation()
    compensation.add("first", recording(ran, "first"))
    compensation.add("second", recording(ran, "second", [Cancelled("again"), Cancelled("and again")]))

    await compensation.execute(CAUSE)

    assert ran == ["second", "second", "second", "first"]


async def test_a_bug_passes_through_so_that_it_is_retried() -> None:
    ran: list[str] = []
    compensation = Compensation()
    compensation.add("first", recording(ran, "first"))
    compensation.add("second", recording(ran, "second", [KeyError("bug")]))

    with pytest.raises(KeyError):
        await compensation.execute(CAUSE)

    assert ran == ["second"]


async def test_without_undos_there_is_nothing_to_do() -> None:
    await Compensation().execute(CAUSE)
