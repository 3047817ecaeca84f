import asyncio
from datetime import timedelta

import pytest

from service.build.lease import under_lease
from service.errors import Transient

SHORT = timedelta(milliseconds=60)


class Renewals:
    """Answers renewals from a list, and the last answer for ever."""

    def __init__(self, *answers: Exception, then: bool | Exception = True) -> None:
        self.answers = [*answers, then]
        self.asked = 0
        self.enough = asyncio.Event()

    async def __call__(self) -> bool:
        self.asked += 1
        if self.asked >= 6:
            self.enough.set()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_work_goes_on_for_as_long_as_the_lease_is_renewed() -> None:
    renewals = Renewals()

    async def work() -> str:
        await renewals.enough.wait()
        return "done"

    assert await under_lease(work, renewals, SHORT) == "done"


@pytest.mark.parametrize("failure", [Transient("away"), KeyError("a bug")], ids=["away", "a bug"])
async def test_one_renewal_that_fails_loses_nothing(failure: Exception) -> None:
    renewals = Renewals(failure)

    async def work() -> str:
        await renewals.enough.wait()
        return "done"

    assert await under_lease(work, renewals, timedelta(seconds=3)) == "done"  # to write a trace takes its time


@pytest.mark.parametrize("answer", [False, Transient("away")], ids=["taken", "not renewed"])
async def test_work_is_cancelled_when_the_lease_is_lost(answer: bool | Exception) -> None:
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    with pytest.raises(Transient) as lost:
        await under_lease(work, Renewals(then=answer), SHORT)

    assert lost.value.reason == "BUILD_LEASE_LOST"
    assert ended == ["cancelled"]


async def test_what_the_work_raises_passes_through() -> None:
    async def work() -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        await under_lease(work, Renewals(), SHORT)


async def test_nothing_is_renewed_after_the_end() -> None:
    renewals = Renewals()

    async def work() -> None:
        return

    await under_lease(work, renewals, SHORT)
    await asyncio.sleep(2 * SHORT.total_seconds())

    assert renewals.asked == 0
