import asyncio
import gc
from pathlib import Path

import pytest

from service.build.buildkit import Address, BuildKit, BuildKitError, Log, StopBuild, Vertex, connect
from tests.servers.fake_build import FakeBuild, fails, hangs, loses_session
from tests.servers.fake_buildkit import FakeBuildKit
from tests.unit.build.buildkit.orders import QUICK, Watcher, order
from tests.waiting import until

COMMIT = "0123456789012345678901234567890123456789"


async def running(daemon: FakeBuildKit) -> FakeBuild:
    """Wait until the daemon is in the midst of a build."""

    async def begun() -> bool:
        return bool(daemon.builds) and daemon.builds[-1].begun.is_set()

    await until(begun)
    return daemon.builds[-1]


async def test_cancelling_stops_the_remote_build(daemon: FakeBuildKit, client: BuildKit) -> None:
    daemon.script(hangs())
    task = asyncio.create_task(client.build(order(), Watcher()))
    build = await running(daemon)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await build.ended.wait()
    assert build.cancelled


async def test_a_deadline_of_the_caller_stops_the_remote_build(daemon: FakeBuildKit, client: BuildKit) -> None:
    daemon.script(hangs())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await client.build(order(), Watcher())
    await daemon.builds[0].ended.wait()
    assert daemon.builds[0].cancelled


async def test_cancelling_before_the_session_is_there_begins_no_build(daemon: FakeBuildKit, client: BuildKit) -> None:
    daemon.takes_sessions = False
    task = asyncio.create_task(client.build(order(), Watcher()))

    async def offered() -> bool:
        return daemon.offers > 0

    await until(offered)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert daemon.builds == []


async def test_one_of_two_builds_is_cancelled_alone(daemon: FakeBuildKit, client: BuildKit) -> None:
    go = asyncio.Event()

    async def wait(build: FakeBuild) -> str:
        build.begun.set()
        await go.wait()
        return "sha256:1"

    daemon.script(wait, hangs())
    other = asyncio.create_task(client.build(order(), Watcher()))
    await running(daemon)
    task = asyncio.create_task(client.build(order(), Watcher()))

    async def both() -> bool:
        return len(daemon.builds) == 2 and daemon.builds[1].begun.is_set()

    await until(both)
    task.cancel()
    await daemon.builds[1].ended.wait()
    go.set()
    assert (await other).digest == "sha256:1"
    assert [build.cancelled for build in daemon.builds] == [False, True]


class Guard(Watcher):
    """Wants no other commit than the expected one."""

    def on_log(self, log: Log) -> None:
        super().on_log(log)
        if not log.text.startswith(COMMIT):
            raise StopBuild(f"fetched {log.text[:40]}")


async def test_an_observer_can_stop_the_build(daemon: FakeBuildKit, client: BuildKit) -> None:
    daemon.script(hangs(commit="f" * 40))
    with pytest.raises(StopBuild, match="fetched ffff"):
        await client.build(order(), Guard())
    await daemon.builds[0].ended.wait()
    assert daemon.builds[0].cancelled


async def test_an_observer_that_fails_stops_the_build(daemon: FakeBuildKit, client: BuildKit) -> None:
    class Broken(Watcher):
        def on_vertex(self, vertex: Vertex) -> None:
            raise KeyError(vertex.digest)

    daemon.script(hangs())
    with pytest.raises(KeyError):
        await client.build(order(), Broken())
    await daemon.builds[0].ended.wait()
    assert daemon.builds[0].cancelled


async def test_what_an_observer_raises_at_the_end_is_not_lost(daemon: FakeBuildKit, client: BuildKit) -> None:
    """The build may be over by the time the observer sees that it was another one."""

    async def hasty(build: FakeBuild) -> str:
        build.step("[internal] load git source").log("f" * 40)
        return "sha256:1"

    daemon.script(hasty)
    with pytest.raises(StopBuild):
        await client.build(order(), Guard())


async def test_nothing_is_left_behind(daemon: FakeBuildKit) -> None:
    async def end_in_every_way() -> None:
        daemon.script(hangs(), hangs(), fails(), loses_session())
        async with connect(Address.parse(daemon.address), timeouts=QUICK) as client:
            task = asyncio.create_task(client.build(order(), Watcher()))
            build = await running(daemon)
            task.cancel()
            await asyncio.wait((task,))
            for _ in range(3):
                with pytest.raises(BuildKitError):
                    await client.build(order(), Guard())
            await client.build(order(), Watcher())
            await build.ended.wait()

    async def nothing_open() -> bool:
        files, tasks = held()
        return files <= before[0] and tasks <= before[1]

    await end_in_every_way()
    gc.disable()  # a connection is not to stay open until the collector comes by
    try:
        before = held()
        await end_in_every_way()
        await until(nothing_open)
    finally:
        gc.enable()


def held() -> tuple[int, int]:
    """Count this process's open files and its tasks."""
    return len(list(Path("/proc/self/fd").iterdir())), len(asyncio.all_tasks())
