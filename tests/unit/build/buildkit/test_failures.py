from dataclasses import replace
from datetime import timedelta

import pytest

from service.build.buildkit import (
    Address,
    BuildKit,
    Details,
    Location,
    SessionLost,
    SolveFailed,
    connect,
)
from tests.servers.fake_build import FakeBuild, Refused, error_details, fails, hangs, loses_session, refuses
from tests.servers.fake_buildkit import FakeBuildKit
from tests.unit.build.buildkit.orders import PASSWORD, QUICK, TOKEN, Watcher, order


async def test_a_failed_command_is_told_with_its_step_its_exit_code_and_its_line(
    daemon: FakeBuildKit, client: BuildKit
) -> None:
    daemon.script(fails(exit_code=3))
    watcher = Watcher()
    with pytest.raises(SolveFailed) as failed:
        await client.build(order(), watcher)
    culprit = watcher.steps()[-1]
    assert failed.value.code == "UNKNOWN"
    assert failed.value.text == 'process "/bin/sh -c make" did not complete successfully: exit code: 3'
    assert failed.value.details == Details(culprit.digest, 3, Location("Dockerfile", 2))
    assert culprit.error == failed.value.text


async def test_the_step_that_failed_is_told_from_those_that_were_stopped_with_it(
    daemon: FakeBuildKit, client: BuildKit
) -> None:
    async def two_at_once(build: FakeBuild) -> str:
        stopped, culprit = build.step("RUN sleep"), build.step("RUN make")
        stopped.start()
        culprit.start()
        stopped.complete("process did not complete successfully: exit code: 137")
        culprit.complete("process did not complete successfully: exit code: 2")
        raise Refused("exit code: 2", details=error_details(culprit.digest, 2))

    daemon.script(two_at_once)
    watcher = Watcher()
    with pytest.raises(SolveFailed) as failed:
        await client.build(order(), watcher)
    assert [step.name for step in watcher.steps() if step.error] == ["RUN sleep", "RUN make"]
    assert [step.name for step in watcher.steps() if step.digest == failed.value.details.vertex] == ["RUN make"]


async def test_an_error_holds_no_secret(daemon: FakeBuildKit, client: BuildKit) -> None:
    daemon.script(refuses(f'process "curl -u robot:{PASSWORD} -H {TOKEN}" did not complete', "INVALID_ARGUMENT"))
    with pytest.raises(SolveFailed) as failed:
        await client.build(order(), Watcher())
    assert failed.value.code == "INVALID_ARGUMENT"
    assert failed.value.text == 'process "curl -u robot:*** -H ***" did not complete'
    assert failed.value.details == Details()
    assert TOKEN not in repr(failed.value)
    assert PASSWORD not in repr(failed.value)
    assert failed.value.__context__ is None  # that would hold the text as it came


async def test_a_build_that_never_became_a_job_fails_without_progress(daemon: FakeBuildKit, client: BuildKit) -> None:
    daemon.script(Refused('exporter "nope" could not be found'))
    with pytest.raises(SolveFailed, match="could not be found"):
        await client.build(order(), Watcher())


async def test_no_build_begins_where_the_daemon_takes_no_session(daemon: FakeBuildKit) -> None:
    daemon.takes_sessions = False
    impatient = replace(QUICK, session=timedelta(milliseconds=300))
    async with connect(Address.parse(daemon.address), timeouts=impatient) as client:
        with pytest.raises(SessionLost, match="did not take up the session"):
            await client.build(order(), Watcher())
    assert daemon.builds == []


async def test_a_session_that_is_lost_ends_the_build_on_both_sides(daemon: FakeBuildKit, client: BuildKit) -> None:
    daemon.script(loses_session())
    with pytest.raises(SessionLost, match="the daemon ended the session"):
        await client.build(order(), Watcher())
    await daemon.builds[0].ended.wait()
    assert daemon.builds[0].cancelled


async def test_a_daemon_that_falls_silent_counts_as_gone(daemon: FakeBuildKit) -> None:
    async def freeze(build: FakeBuild) -> str:
        daemon.front.freeze()
        return await hangs()(build)

    daemon.script(freeze)
    impatient = replace(QUICK, silence=timedelta(seconds=1))
    async with connect(Address.parse(daemon.address), timeouts=impatient) as client:
        with pytest.raises(SessionLost, match="nothing came from the daemon for 1 s"):
            await client.build(order(), Watcher())


async def test_a_daemon_that_asks_for_health_is_not_silent(daemon: FakeBuildKit) -> None:
    async def quiet(build: FakeBuild) -> str:
        assert build.session is not None
        await build.session.asked_health(times=25)  # ten a second
        return "sha256:1"

    daemon.script(quiet)
    impatient = replace(QUICK, silence=timedelta(seconds=2))
    async with connect(Address.parse(daemon.address), timeouts=impatient) as client:
        assert (await client.build(order(), Watcher())).digest == "sha256:1"


async def test_a_connection_that_ends_ends_the_build(daemon: FakeBuildKit, client: BuildKit) -> None:
    async def die(build: FakeBuild) -> str:
        daemon.front.drop()
        await build.hang()
        raise AssertionError

    daemon.script(die)
    with pytest.raises((SessionLost, SolveFailed)) as lost:
        await client.build(order(), Watcher())
    # The build's call and its session's go down together, and either may be the first to tell.
    assert getattr(lost.value, "code", "UNAVAILABLE") == "UNAVAILABLE"
    await daemon.builds[0].ended.wait()
    assert daemon.builds[0].cancelled


async def test_the_next_build_goes_through_a_connection_made_anew(daemon: FakeBuildKit, client: BuildKit) -> None:
    await client.build(order(), Watcher())
    daemon.front.drop()
    await client.wait_ready(timedelta(seconds=30))
    assert (await client.build(order(), Watcher())).digest
