import asyncio
from datetime import timedelta

import pytest

from service.build.depot import Depot, Timing
from tests.servers.depot import FakeDepot
from tests.servers.depot_faults import Fault, Gate, Hang, Refuse
from tests.waiting import until

SOON = timedelta(milliseconds=200)


async def build(depot: Depot, started: asyncio.Event | None = None, *, forever: bool = False) -> None:
    """Build until the machine is there, or until cancelled."""
    async with depot.build("dp1", "linux/amd64") as build:
        await build.machine()
        if started is not None:
            started.set()
        if forever:
            await asyncio.Event().wait()


async def cancelled(task: asyncio.Task[None]) -> None:
    """Cancel a task and see that it ends so, with nothing left running beside this test."""
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [other.get_name() for other in asyncio.all_tasks() if other.get_name() == "depot heartbeat"] == []


async def test_while_building(depot: Depot, fake: FakeDepot) -> None:
    started = asyncio.Event()
    task = asyncio.create_task(build(depot, started, forever=True))
    await started.wait()
    await cancelled(task)
    assert fake.builds["build1"].result == "canceled"
    assert fake.builds["build1"].events[-1] == "FinishBuild"


async def test_by_a_deadline(depot: Depot, fake: FakeDepot) -> None:
    async def build_until_too_late() -> None:
        async with asyncio.timeout(None) as bound, depot.build("dp1", "linux/amd64"):
            bound.reschedule(asyncio.get_running_loop().time())
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await build_until_too_late()
    assert fake.builds["build1"].result == "canceled"


async def test_while_the_machine_is_awaited(depot: Depot, fake: FakeDepot) -> None:
    fake.machine = None
    task = asyncio.create_task(build(depot))

    async def asked() -> bool:
        return len(fake.called("GetBuildKitConnection")) > 1

    await until(asked)
    await cancelled(task)
    assert fake.builds["build1"].result == "canceled"


async def test_while_the_answer_about_the_machine_is_on_its_way(depot: Depot, fake: FakeDepot) -> None:
    gate = Gate(after=True)
    fake.program("GetBuildKitConnection", gate)
    task = asyncio.create_task(build(depot))
    await gate.reached.wait()
    await cancelled(task)
    assert fake.builds["build1"].result == "canceled"


async def test_while_the_new_build_is_on_its_way(depot: Depot, fake: FakeDepot) -> None:
    gate = Gate(after=True)
    fake.program("CreateBuild", gate)
    task = asyncio.create_task(build(depot))
    await gate.reached.wait()
    assert fake.open_builds == ["build1"]
    task.cancel()
    await asyncio.wait([task], timeout=0.05)
    gate.open.set()
    await cancelled(task)
    assert fake.builds["build1"].result == "canceled"
    assert fake.builds["build1"].events == ["FinishBuild"]


@pytest.mark.parametrize("timing", [Timing(finish=SOON)])
async def test_while_the_new_build_never_comes(depot: Depot, fake: FakeDepot) -> None:
    gate = Gate()
    fake.program("CreateBuild", gate)
    task = asyncio.create_task(build(depot))
    await gate.reached.wait()
    await cancelled(task)
    assert not fake.builds


async def test_while_the_new_build_is_being_refused(depot: Depot, fake: FakeDepot) -> None:
    gate = Gate()
    fake.program("CreateBuild", gate)
    fake.token = "another"  # noqa: S105 - not one
    task = asyncio.create_task(build(depot))
    await gate.reached.wait()
    task.cancel()
    await asyncio.wait([task], timeout=0.05)
    gate.open.set()
    await cancelled(task)
    assert not fake.builds


async def test_while_the_end_is_told_and_again(depot: Depot, fake: FakeDepot) -> None:
    gate = Gate()
    fake.program("FinishBuild", gate)
    task = asyncio.create_task(build(depot))
    await gate.reached.wait()
    for _ in range(3):
        task.cancel()
        await asyncio.wait([task], timeout=0.02)
    assert not task.done()
    gate.open.set()
    await cancelled(task)
    assert fake.builds["build1"].result == "success"


@pytest.mark.parametrize("timing", [Timing(finish=SOON)])
@pytest.mark.parametrize("fault", [Hang(), Refuse("permission_denied")], ids=["silence", "refusal"])
async def test_while_depot_does_not_want_to_know(depot: Depot, fake: FakeDepot, fault: Fault) -> None:
    started = asyncio.Event()
    fake.program_always("FinishBuild", fault)
    task = asyncio.create_task(build(depot, started, forever=True))
    await started.wait()
    await cancelled(task)
    assert fake.open_builds == ["build1"]


async def test_before_anything_was_asked(depot: Depot, fake: FakeDepot) -> None:
    task = asyncio.create_task(build(depot))
    await cancelled(task)
    assert not fake.calls
