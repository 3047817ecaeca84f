import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest

from service.build.depot import Certificates, Depot, Machine, Timing
from service.build.depot.api import BuildTicket
from service.errors import Cancelled, FailedPrecondition, Internal, NotFound, Transient
from tests.servers.depot import FakeDepot, FakeMachine
from tests.servers.depot_faults import Close, Hang, Refuse, Say
from tests.waiting import until

PROJECT = "dp1"
SOON = timedelta(milliseconds=500)
LONG = timedelta(minutes=1)
QUICK = timedelta(milliseconds=5)


class Broken(Exception):
    """What a test's build fails with."""


async def heard(fake: FakeDepot, times: int) -> None:
    """Wait until the build has had that many heartbeats."""

    async def enough() -> bool:
        return fake.builds["build1"].heartbeats >= times

    await until(enough)


async def test_a_build_that_ends_well(depot: Depot, fake: FakeDepot) -> None:
    async with depot.build(PROJECT, "linux/amd64") as build:
        assert await build.machine() == Machine("127.0.0.1:4321")
        assert fake.open_builds == [build.build_id]
        await heard(fake, 3)
    (kept,) = fake.builds.values()
    assert (kept.result, kept.error, kept.project_id) == ("success", "", PROJECT)
    assert kept.events.index("FinishBuild") == len(kept.events) - 1
    assert kept.platforms == {"BUILDER_PLATFORM_AMD64"}
    assert not fake.open_builds
    assert not fake.silent_builds


async def test_the_calls_of_a_build_go_with_its_own_token(depot: Depot, fake: FakeDepot) -> None:
    async with depot.build(PROJECT, "linux/amd64") as build:
        await build.machine()
        await heard(fake, 1)
    tokens = {method: {call.token for call in fake.called(method)} for method in {call.method for call in fake.calls}}
    assert tokens.pop("CreateBuild") == {fake.token}
    assert set(tokens) == {"GetBuildKitConnection", "ReportBuildHealth", "FinishBuild"}
    assert all(own == {fake.builds["build1"].token} for own in tokens.values())


async def test_the_machine_is_asked_for_with_the_engine(depot: Depot, fake: FakeDepot) -> None:
    async with depot.build(PROJECT, "linux/arm64") as build:
        await build.machine()
    (call,) = fake.called("GetBuildKitConnection")
    assert json.loads(call.body) == {
        "buildId": "build1",
        "platform": "BUILDER_PLATFORM_ARM64",
        "requiredEngine": {"buildkit": {}},
    }


@pytest.mark.parametrize(
    ("platform", "builder"),
    [
        ("linux/amd64", "BUILDER_PLATFORM_AMD64"),
        ("linux/arm64", "BUILDER_PLATFORM_ARM64"),
        ("linux/arm/v7", "BUILDER_PLATFORM_ARM64"),
        ("linux/aarch64", "BUILDER_PLATFORM_ARM64"),
        ("arm64", "BUILDER_PLATFORM_ARM64"),
        ("charms/amd64", "BUILDER_PLATFORM_AMD64"),
    ],
)
async def test_the_builder_for_a_platform(depot: Depot, fake: FakeDepot, platform: str, builder: str) -> None:
    async with depot.build(PROJECT, platform) as build:
        await build.machine()
        await heard(fake, 1)
    assert fake.builds["build1"].platforms == {builder}


async def test_heartbeats_while_the_machine_is_not_there_yet(depot: Depot, fake: FakeDepot) -> None:
    machine, fake.machine = fake.machine, None
    async with depot.build(PROJECT, "linux/amd64") as build:
        waiting = asyncio.create_task(build.machine())
        await heard(fake, 3)
        assert not waiting.done()
        fake.machine = machine
        assert await waiting == Machine("127.0.0.1:4321")


async def test_a_machine_that_comes_at_the_fourth_question(depot: Depot, fake: FakeDepot) -> None:
    fake.pending = 3
    async with depot.build(PROJECT, "linux/amd64") as build:
        await build.machine()
    assert len(fake.called("GetBuildKitConnection")) == 4


@pytest.mark.parametrize(
    "answer",
    [
        b"{}",
        b'{"pending": {}}',
        b'{"pending": null}',
        b'{"active": null}',
        b'{"pending": {"waitMs": "soon"}}',
        b'{"pending": {"waitMs": -1000}}',
        b'{"pending": {"waitMs": 1' + b"0" * 30 + b"}}",
    ],
)
async def test_a_wait_that_says_nothing(depot: Depot, fake: FakeDepot, answer: bytes) -> None:
    fake.program("GetBuildKitConnection", Say(answer))
    async with depot.build(PROJECT, "linux/amd64") as build:
        await build.machine()
    assert len(fake.called("GetBuildKitConnection")) == 2


@pytest.mark.parametrize(
    ("timing", "wait_ms", "refused"),
    [
        (Timing(machine=SOON, poll_floor=QUICK), 60_000, ()),
        (Timing(machine=SOON, poll_floor=LONG), 0, ()),
        (Timing(machine=SOON, retry_pause=LONG), 1, (Refuse("unavailable"),)),
        (
            Timing(machine=SOON, retry_pause=QUICK),
            1,
            (Refuse("resource_exhausted", headers={"Retry-After": "60"}),),
        ),
    ],
    ids=["as Depot says", "at least the floor", "after trouble", "as Depot says after trouble"],
)
async def test_the_pause_between_questions(
    depot: Depot, fake: FakeDepot, wait_ms: int, refused: tuple[Refuse, ...]
) -> None:
    """A pause that outlasts the deadline leaves no room for a second question."""
    fake.machine = None
    fake.wait_ms = wait_ms
    fake.program("GetBuildKitConnection", *refused)
    with pytest.raises(Transient) as caught:
        async with depot.build(PROJECT, "linux/amd64") as build:
            await build.machine()
    assert caught.value.reason == "DEPOT_UNAVAILABLE"
    assert "no machine within 0.5 s" in caught.value.message
    assert len(fake.called("GetBuildKitConnection")) == 1
    assert fake.builds["build1"].result == "error"


async def test_trouble_while_waiting_for_the_machine(depot: Depot, fake: FakeDepot, logs: list[Any]) -> None:
    fake.program("GetBuildKitConnection", Refuse("unavailable"), Refuse("unavailable"), Close(), Say(b"<html>"))
    async with depot.build(PROJECT, "linux/amd64") as build:
        assert await build.machine() == Machine("127.0.0.1:4321")
    assert len([line for line in logs if line["event"] == "Depot is asked again"]) == 1


async def test_a_refusal_ends_the_wait(depot: Depot, fake: FakeDepot) -> None:
    fake.program("GetBuildKitConnection", Refuse("failed_precondition"))
    with pytest.raises(Internal) as caught:
        async with depot.build(PROJECT, "linux/amd64") as build:
            await build.machine()
    assert caught.value.reason == "DEPOT_REFUSED"
    assert len(fake.called("GetBuildKitConnection")) == 1


async def test_a_machine_with_certificates(depot: Depot, fake: FakeDepot, logs: list[Any]) -> None:
    fake.machine = FakeMachine("10.0.0.1:443", "buildkit.depot", "ca", "certificate", "private key")
    async with depot.build(PROJECT, "linux/amd64") as build:
        machine = await build.machine()
    assert machine == Machine("10.0.0.1:443", Certificates("buildkit.depot", b"ca", b"certificate", b"private key"))
    assert "private key" not in repr(machine)
    assert not [line for line in logs if "plain text" in line["event"]]


async def test_a_machine_without_certificates_is_noted(depot: Depot, logs: list[Any]) -> None:
    async with depot.build(PROJECT, "linux/amd64") as build:
        await build.machine()
    assert [line["build"] for line in logs if "plain text" in line["event"]] == ["build1"]


async def test_the_name_of_a_machine_is_its_host_by_default(depot: Depot, fake: FakeDepot) -> None:
    fake.machine = FakeMachine("machine.test:443", "", "ca", "certificate", "key")
    async with depot.build(PROJECT, "linux/amd64") as build:
        machine = await build.machine()
    assert machine.certificates is not None
    assert machine.certificates.server_name == "machine.test"


@pytest.mark.parametrize(
    ("active", "complaint"),
    [
        ({"serverName": "x"}, "not host:port"),
        ({"endpoint": "tcp://host"}, "not host:port"),
        ({"endpoint": "tcp://:80"}, "not host:port"),
        ({"endpoint": "tcp://host:https"}, "not host:port"),
        ({"endpoint": 7}, "not host:port"),
        ({"endpoint": "tcp://host:1", "cert": {"cert": "c"}, "caCert": {"cert": "c"}}, "without its key or its CA"),
        ({"endpoint": "tcp://host:1", "cert": {"cert": "c", "key": "k"}}, "without its key or its CA"),
    ],
)
async def test_a_machine_that_nobody_can_reach(
    depot: Depot, fake: FakeDepot, active: dict[str, Any], complaint: str
) -> None:
    fake.program("GetBuildKitConnection", Say(json.dumps({"active": active}).encode()))
    with pytest.raises(Internal) as caught:
        async with depot.build(PROJECT, "linux/amd64") as build:
            await build.machine()
    assert complaint in caught.value.message
    assert caught.value.reason == "DEPOT_REFUSED"


@pytest.mark.parametrize("answer", [b"{}", b'{"buildId": "b"}', b'{"buildToken": "t"}', b'{"buildId": {}}'])
async def test_a_build_without_id_or_token(depot: Depot, fake: FakeDepot, answer: bytes) -> None:
    fake.program("CreateBuild", Say(answer))
    with pytest.raises(Internal) as caught:
        await depot.build(PROJECT, "linux/amd64").__aenter__()
    assert caught.value.reason == "DEPOT_REFUSED"


async def test_a_project_that_is_gone(depot: Depot) -> None:
    with pytest.raises(NotFound) as caught:
        await depot.build("dp404", "linux/amd64").__aenter__()
    assert caught.value.reason == "DEPOT_PROJECT_GONE"


async def test_an_error_is_reported_in_the_words_of_the_caller(depot: Depot, fake: FakeDepot) -> None:
    with pytest.raises(Broken, match="s3cret"):
        async with depot.build(PROJECT, "linux/amd64", lambda error: str(error).replace("s3cret", "***")):
            raise Broken("exit code 3 of echo s3cret")
    assert (fake.builds["build1"].result, fake.builds["build1"].error) == ("error", "exit code 3 of echo ***")


async def test_an_error_in_no_words_is_its_kind(depot: Depot, fake: FakeDepot) -> None:
    with pytest.raises(Broken):
        async with depot.build(PROJECT, "linux/amd64"):
            raise Broken("exit code 3 of echo s3cret")
    assert fake.builds["build1"].error == "Broken"


@pytest.mark.parametrize(
    ("words", "told"), [("", ""), ("x" * 5_000, "x" * 2_000), ("half \ud83d of one", "half ? of one")]
)
async def test_words_that_do_not_fit(depot: Depot, fake: FakeDepot, words: str, told: str) -> None:
    with pytest.raises(Broken):
        async with depot.build(PROJECT, "linux/amd64", lambda _: words):
            raise Broken
    assert (fake.builds["build1"].result, fake.builds["build1"].error) == ("error", told)


async def test_a_build_that_an_operator_cancelled(depot: Depot, fake: FakeDepot) -> None:
    with pytest.raises(Cancelled):
        async with depot.build(PROJECT, "linux/amd64"):
            raise Cancelled("the deployment was cancelled")
    assert (fake.builds["build1"].result, fake.builds["build1"].error) == ("canceled", "")


async def test_heartbeats_go_on_through_trouble(depot: Depot, fake: FakeDepot, logs: list[Any]) -> None:
    trouble = [Refuse("unavailable"), Refuse("unauthenticated"), Close(), Say(b"<html>")]
    fake.program("ReportBuildHealth", *trouble, *trouble)
    async with depot.build(PROJECT, "linux/amd64"):
        await heard(fake, 2)
    told = [line["cause"] for line in logs if line["event"] == "Depot did not take a heartbeat"]
    assert len(told) == len(trouble)
    assert set(told) >= {"unavailable, HTTP 503", "unauthenticated, HTTP 401"}


@pytest.mark.parametrize("timing", [Timing(answer=timedelta(hours=1), heartbeat=SOON, heartbeat_pause=QUICK)])
async def test_a_heartbeat_without_an_answer(depot: Depot, fake: FakeDepot) -> None:
    fake.program("ReportBuildHealth", Hang())
    async with depot.build(PROJECT, "linux/amd64"):
        await heard(fake, 1)
    assert fake.builds["build1"].result == "success"


async def test_a_heartbeat_that_hangs_does_not_keep_the_build(depot: Depot, fake: FakeDepot) -> None:
    fake.program_always("ReportBuildHealth", Hang(after=True))
    async with depot.build(PROJECT, "linux/amd64"):
        await heard(fake, 1)
    assert fake.builds["build1"].result == "success"


async def test_when_depot_will_cancel_is_logged_once(depot: Depot, fake: FakeDepot, logs: list[Any]) -> None:
    fake.cancels_at = "2030-01-01T00:00:00Z"
    async with depot.build(PROJECT, "linux/amd64"):
        await heard(fake, 3)
    assert [line["at"] for line in logs if "will cancel" in line["event"]] == [fake.cancels_at]


async def test_the_end_is_told_again_after_trouble(depot: Depot, fake: FakeDepot) -> None:
    fake.program("FinishBuild", Refuse("unavailable"), Close())
    async with depot.build(PROJECT, "linux/amd64"):
        pass
    assert fake.builds["build1"].result == "success"


async def test_an_end_that_depot_refuses_changes_nothing(depot: Depot, fake: FakeDepot, logs: list[Any]) -> None:
    fake.program_always("FinishBuild", Refuse("failed_precondition"))
    async with depot.build(PROJECT, "linux/amd64"):
        pass
    with pytest.raises(Broken):
        async with depot.build(PROJECT, "linux/amd64"):
            raise Broken
    told = [line for line in logs if line["event"] == "Depot was not told how the build ended"]
    assert [(line["build"], line["result"]) for line in told] == [("build1", "success"), ("build2", "error")]
    assert len(fake.called("FinishBuild")) == 2


@pytest.mark.parametrize("timing", [Timing(finish=SOON, retry_pause=QUICK)])
@pytest.mark.parametrize("fault", [Hang(), Refuse("unavailable")], ids=["silence", "trouble"])
async def test_an_end_that_cannot_be_told(depot: Depot, fake: FakeDepot, logs: list[Any], fault: Hang | Refuse) -> None:
    fake.program_always("FinishBuild", fault)
    with pytest.raises(Broken):
        async with depot.build(PROJECT, "linux/amd64"):
            raise Broken
    assert fake.open_builds == ["build1"]
    assert "Depot was not told in time how the build ended" in [line["event"] for line in logs]


async def test_an_installation_that_is_shut_down_too_early(fake: FakeDepot, logs: list[Any]) -> None:
    depot = Depot(fake.url, fake.token, Timing(heartbeat_pause=QUICK))

    async def noticed() -> bool:
        return bool(errors())

    def errors() -> list[str]:
        return [line["event"] for line in logs if line["log_level"] == "error"]

    async def build_on_closed_connections() -> None:
        async with depot.build(PROJECT, "linux/amd64"):
            await heard(fake, 1)
            await depot.close()
            await until(noticed)
            raise Broken

    with pytest.raises(Broken):
        await build_on_closed_connections()
    assert set(errors()) == {"a background task failed", "Depot was not told how the build ended"}


async def test_a_token_of_a_build_that_is_no_text(depot: Depot, fake: FakeDepot) -> None:
    fake.program("CreateBuild", Say(b'{"buildId": "build1", "buildToken": "\\ud83d"}', after=True))
    with pytest.raises(FailedPrecondition):
        async with depot.build(PROJECT, "linux/amd64") as build:
            await build.machine()


async def test_many_builds_at_once(depot: Depot, fake: FakeDepot) -> None:
    async def one(number: int) -> str:
        async with depot.build(PROJECT, "linux/amd64") as build:
            await build.machine()
            if number % 2:
                raise Broken
            return build.build_id

    ended = await asyncio.gather(*(one(number) for number in range(8)), return_exceptions=True)
    assert [type(end) for end in ended] == [str, Broken] * 4
    assert not fake.open_builds
    assert sorted(build.result for build in fake.builds.values()) == ["error"] * 4 + ["success"] * 4


def test_a_ticket_hides_its_token() -> None:
    assert "s3cret" not in repr(BuildTicket("build1", "s3cret"))
