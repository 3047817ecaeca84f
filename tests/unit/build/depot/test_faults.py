import gzip
import json
import traceback
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from service.build.depot import Depot, Timing
from service.dev.ports import free_port
from service.errors import FailedPrecondition, HydraError, Internal, NotFound, Transient
from tests.servers.depot import FakeDepot
from tests.servers.depot_faults import HTTP_STATUS, Close, Fault, Hang, Refuse, Say

HTML = {"Content-Type": "text/html"}
GIVEN_UP = (FailedPrecondition, "DEPOT_AUTH_FAILED")
GONE = (NotFound, "DEPOT_PROJECT_GONE")
LATER = (Transient, "DEPOT_UNAVAILABLE")
LIMITED = (Transient, "DEPOT_RATE_LIMITED")
REFUSED = (Internal, "DEPOT_REFUSED")

BY_CODE = {
    "canceled": LATER,
    "unknown": LATER,
    "invalid_argument": REFUSED,
    "deadline_exceeded": LATER,
    "not_found": GONE,
    "already_exists": REFUSED,
    "permission_denied": GIVEN_UP,
    "resource_exhausted": LIMITED,
    "failed_precondition": REFUSED,
    "aborted": LATER,
    "out_of_range": REFUSED,
    "unimplemented": REFUSED,
    "internal": LATER,
    "unavailable": LATER,
    "data_loss": LATER,
    "unauthenticated": GIVEN_UP,
}


@pytest.fixture(scope="module")
async def fake() -> AsyncIterator[FakeDepot]:
    async with FakeDepot() as fake:
        fake.add_project("unkey-p1")
        yield fake


@pytest.fixture(scope="module")
async def depot(fake: FakeDepot) -> AsyncIterator[Depot]:
    depot = Depot(fake.url, fake.token)
    yield depot
    await depot.close()


async def refusal(depot: Depot) -> HydraError:
    """Ask for a build and return what that raises."""
    with pytest.raises(HydraError) as caught:
        await depot.build("dp1", "linux/amd64").__aenter__()
    return caught.value


def kind(error: HydraError) -> tuple[type[HydraError], str]:
    return type(error), error.reason


@pytest.mark.parametrize("code", HTTP_STATUS)
async def test_every_code_of_connect(depot: Depot, fake: FakeDepot, code: str) -> None:
    fake.program("CreateBuild", Refuse(code))
    error = await refusal(depot)
    assert kind(error) == BY_CODE[code]
    assert f"CreateBuild: {code}, HTTP {HTTP_STATUS[code]}" in error.message
    assert error.facts == {"method": "CreateBuild", "code": code}


@pytest.mark.parametrize("method", ["CreateProject", "ListProjects"])
async def test_only_a_build_tells_that_its_project_is_gone(depot: Depot, fake: FakeDepot, method: str) -> None:
    fake.program(method, Refuse("not_found"))
    with pytest.raises(Internal):
        await depot.project("unkey-p2", "us-east-1")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (204, REFUSED),  # nothing of Connect answers so
        (302, REFUSED),
        (400, REFUSED),
        (401, GIVEN_UP),
        (403, GIVEN_UP),
        (404, REFUSED),
        (405, REFUSED),
        (408, LATER),
        (409, REFUSED),
        (415, REFUSED),
        (418, REFUSED),
        (425, LATER),
        (429, LIMITED),
        (500, LATER),
        (501, REFUSED),
        (502, LATER),
        (503, LATER),
        (504, LATER),
        (599, LATER),
    ],
)
@pytest.mark.parametrize(
    "body", [b"<html>not for machines</html>", b"", b"[]", b'{"code": 7}', b'{"code": ["a"]}', b'{"code": "new_one"}']
)
async def test_a_status_without_a_code(
    depot: Depot, fake: FakeDepot, status: int, body: bytes, expected: tuple[type[HydraError], str]
) -> None:
    fake.program("CreateBuild", Say(b"" if status == 204 else body, status, HTML))
    assert kind(await refusal(depot)) == expected


async def test_a_code_counts_more_than_the_status(depot: Depot, fake: FakeDepot) -> None:
    fake.program("CreateBuild", Refuse("aborted", status=400))
    assert kind(await refusal(depot)) == LATER


async def test_the_other_form_of_an_error(fake: FakeDepot, logs: list[Any]) -> None:
    """An address that is not Depot's own answers with 404 too, but the project is not gone."""
    depot = Depot(f"{fake.url}/elsewhere/", fake.token)
    assert kind(await refusal(depot)) == REFUSED
    await depot.close()
    (line,) = logs
    assert (line["log_level"], line["cause"]) == ("error", "unimplemented, HTTP 404")
    assert line["said"] == "Route POST:/elsewhere/depot.cli.v1.BuildService/CreateBuild not found"


async def test_the_token_is_not_the_organizations(fake: FakeDepot) -> None:
    depot = Depot(fake.url, "s3cret")
    error = await refusal(depot)
    await depot.close()
    assert kind(error) == GIVEN_UP
    assert "check registry.password" in error.message


async def test_the_token_of_a_build_is_not_taken_any_more(depot: Depot, fake: FakeDepot) -> None:
    async with depot.build("dp1", "linux/amd64") as build:
        fake.builds[build.build_id].token = "another"  # noqa: S105 - not one
        with pytest.raises(FailedPrecondition) as caught:
            await build.machine()
    assert kind(caught.value) == GIVEN_UP
    assert "registry.password" not in caught.value.message


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", "7"),
        ("0", None),
        ("9" * 400, "86400"),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("\u00b2", None),
        ("Mon, 01 Jan 2001 00:00:00 GMT", None),
        ("Mon, 01 Jan 2001 00:00:00 -0000", None),
        pytest.param(format_datetime(datetime.now(UTC) + timedelta(days=9), usegmt=True), "86400", id="in nine days"),
    ],
)
async def test_when_to_come_again(depot: Depot, fake: FakeDepot, header: str, seconds: str | None) -> None:
    fake.program("CreateBuild", Refuse("resource_exhausted", headers={"Retry-After": header}))
    error = await refusal(depot)
    assert kind(error) == LIMITED
    assert error.facts.get("retry_after_seconds") == seconds


@pytest.mark.parametrize("fault", [Hang(), Hang(begun=True)], ids=["none", "half of one"])
async def test_no_answer_in_time(fake: FakeDepot, fault: Fault) -> None:
    depot = Depot(fake.url, fake.token, Timing(answer=timedelta(milliseconds=200)))
    fake.program("CreateBuild", fault)
    error = await refusal(depot)
    await depot.close()
    assert kind(error) == LATER
    assert "no answer within 0.2 s" in error.message


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        (Close(), "Error)"),
        (Say(b"<html>", headers=HTML), "not a JSON object"),
        (Say(b""), "not a JSON object"),
        (Say(b'["buildId"]'), "not a JSON object"),
        (Say(b'{"buildId": "bui'), "not a JSON object"),
        (Say(b"\xff\xfe{}"), "not a JSON object"),
        (Say(b"[" * 200_000), "not a JSON object"),
        (Say(b" " * 5_000_000 + b'{"buildId": "b", "buildToken": "t"}'), "too long"),
        (Say(gzip.compress(b"{}"), headers={"Content-Encoding": "gzip"}), "not a JSON object"),
    ],
    ids=["closed", "html", "empty", "list", "cut", "no text", "deep", "long", "packed"],
)
async def test_an_answer_that_is_none(depot: Depot, fake: FakeDepot, fault: Fault, cause: str) -> None:
    fake.program("CreateBuild", fault)
    error = await refusal(depot)
    assert kind(error) == LATER
    assert cause in error.message


async def test_nobody_is_there() -> None:
    port = free_port()
    depot = Depot(f"http://127.0.0.1:{port}", "s3cret")
    error = await refusal(depot)
    await depot.close()
    assert kind(error) == LATER
    assert "ConnectError" in error.message
    assert str(port) not in error.message


async def test_an_error_that_is_too_long_counts_by_its_status(depot: Depot, fake: FakeDepot) -> None:
    fake.program("CreateBuild", Say(b'{"code": "unavailable", "message": "' + b"x" * 5_000_000, 400))
    assert kind(await refusal(depot)) == REFUSED


async def test_the_token_is_not_sent_on(depot: Depot, fake: FakeDepot) -> None:
    async with FakeDepot() as other:
        elsewhere = f"{other.url}/depot.cli.v1.BuildService/CreateBuild"
        fake.program("CreateBuild", Say(b"", 307, {"Location": elsewhere}))
        assert kind(await refusal(depot)) == REFUSED
        assert not other.calls


async def test_what_depot_says_is_for_the_log_alone(depot: Depot, fake: FakeDepot, logs: list[Any]) -> None:
    fake.program("CreateBuild", Refuse("failed_precondition", f"no card\non file for {fake.token} " + "x" * 1_000))
    error = await refusal(depot)
    (line,) = logs
    assert line["said"].startswith("no card on file for [token] xxx")
    assert len(line["said"]) <= 300
    assert "no card" not in error.message
    told = "".join(traceback.format_exception(error)) + repr(error) + repr(error.facts) + json.dumps(logs)
    assert fake.token not in told


@pytest.mark.parametrize("token", ["s3cret\n", "s3cret\x00", "s3cr\u00e9t"])
async def test_a_token_that_is_none(fake: FakeDepot, logs: list[Any], token: str) -> None:
    depot = Depot(fake.url, token)
    error = await refusal(depot)
    await depot.close()
    assert kind(error) == GIVEN_UP
    assert "check registry.password" in error.message
    assert "s3cr" not in "".join(traceback.format_exception(error)) + json.dumps(logs) + repr(depot)
