"""GitHub in trouble, or unwilling: no deploy waits for it or fails of it (06 · G4), and what can be shown is shown."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import pytest

from service.clock import now_ms
from service.dev.ports import free_port
from tests.installation import ALWAYS_REPLAY, Installation
from tests.reporting_site import Connected, ReportingSite, Shown, handlers, table, told
from tests.servers.github_app import Installation as AppInstallation
from tests.servers.github_faults import End, Fault
from tests.waiting import until

# GitHub's troubles are the same over either database.
pytestmark = pytest.mark.parametrize("server", ["sqlite"], indirect=True)

IN_ORDER = ["pending", "in_progress", "success"]
EVERY_TIME = 100

LIMITED = {"message": "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}
HOUR_S = 3600
OUTAGES = {
    "an error": Fault(500),
    "a page of a gateway": Fault(502, body=b"<html>"),
    "a dead line": Fault(end=End.CLOSE),
    "half an answer": Fault(201, body=b'{"id": 1', end=End.CLOSE),
    "a secondary limit": Fault(403, {"Retry-After": "1"}, LIMITED),
    "too many requests": Fault(429, {"Retry-After": "1"}),
}
# What each step of the reports asks for at last.
PLACES = [
    ("POST", "/deployments"),
    ("POST", "/deployments/*/statuses"),
    ("GET", "/pulls"),
    ("POST", "/issues/*/comments"),
]


def states(connected: Connected) -> list[str]:
    """List what GitHub was told of all deployments of the repository."""
    return [status.state for deployment in connected.repository.deployments for status in deployment.statuses]


def rows(connected: Connected) -> list[Shown]:
    """Read the rows of all comments in the repository."""
    return [row for comment in connected.repository.all_comments.values() for row in table(comment.body)]


async def ended(site: ReportingSite, deployment_id: str) -> None:
    """Wait for all reports of a deploy that is over, and see that each handler came to its end."""
    await told(site.installation, await site.installation.operation(deployment_id))
    found = await handlers(site.installation, deployment_id)
    assert {(each["status"], each["completion_result"]) for each in found} == {("completed", "success")}


async def sleeps(installation: Installation, deployment_id: str) -> list[int]:
    """Read until when the deployment's handlers sleep, or slept: Unix ms."""
    ids = ", ".join(f"'{each['id']}'" for each in await handlers(installation, deployment_id))
    entries = await installation.admin_query(
        f"select entry_lite_json from sys_journal where entry_type = 'Command: Sleep' and id in ({ids or 'null'})"
    )
    return [json.loads(entry["entry_lite_json"])["Command"]["Sleep"]["wake_up_time"] for entry in entries]


async def asleep(installation: Installation, deployment_id: str) -> None:
    async def is_asleep() -> bool:
        return bool(await sleeps(installation, deployment_id))

    await until(is_asleep)


async def end_all(installation: Installation, *deployment_ids: str) -> None:
    """Kill the handlers that would sleep on; each may let another begin."""

    async def all_ended() -> bool:
        found = [each for deployment_id in deployment_ids for each in await handlers(installation, deployment_id)]
        alive = [each["id"] for each in found if each["status"] != "completed"]
        for invocation_id in alive:
            await installation.kill(invocation_id)
        return not alive

    await until(all_ended)


async def assert_reported_once(site: ReportingSite, connected: Connected, deployment_id: str) -> None:
    """Wait for the reports of a deploy with a pull request, and see that each is there, once and in order."""
    await ended(site, deployment_id)
    assert len(connected.repository.deployments) == 1
    assert states(connected) == IN_ORDER
    (row,) = rows(connected)
    assert "Ready" in row.status
    assert row.inspect_url.endswith(deployment_id)


async def test_nothing_of_a_deploy_waits_for_github(reporting: ReportingSite) -> None:
    connected = await reporting.connected()
    connected.repository.open_pull_request(connected.branch)
    answering = asyncio.Event()
    path = f"/app/installations/{connected.installation_id}/access_tokens"
    reporting.github.faults.plan(path, Fault(after=answering), times=EVERY_TIME)
    deployment_id = await reporting.deployment(connected)

    await reporting.installation.deploy(deployment_id)

    async def is_asked() -> bool:
        return bool(reporting.github.asked(path))

    await until(is_asked)
    assert {asked.path for asked in reporting.asked_of(connected)} == {path}
    assert await reporting.installation.status(deployment_id) == "ready"
    assert states(connected) == []
    answering.set()
    await assert_reported_once(reporting, connected, deployment_id)


@pytest.mark.parametrize("outage", OUTAGES)
async def test_every_step_outlives_an_outage(reporting: ReportingSite, outage: str) -> None:
    connected = await reporting.connected()
    connected.repository.open_pull_request(connected.branch)
    for method, path in PLACES:
        reporting.github.faults.plan(f"/repos/{connected.repository.full_name}{path}", OUTAGES[outage], method=method)
    deployment_id = await reporting.deployment(connected)

    await reporting.installation.deploy(deployment_id)

    await assert_reported_once(reporting, connected, deployment_id)
    # Only where GitHub names a time to wait is it a sleep of Restate's; a handler beside may meet the same limit.
    slept = len(await sleeps(reporting.installation, deployment_id))
    assert slept >= len(PLACES) if OUTAGES[outage].status in (403, 429) else slept == 0


async def test_a_github_that_takes_a_request_and_never_answers(reporting: ReportingSite) -> None:
    connected = await reporting.connected()
    connected.repository.open_pull_request(connected.branch)
    path = f"/repos/{connected.repository.full_name}/deployments"
    reporting.github.faults.plan(path, Fault(end=End.HANG), method="POST")
    deployment_id = await reporting.deployment(connected)

    await reporting.installation.deploy(deployment_id)

    await assert_reported_once(reporting, connected, deployment_id)


async def test_a_github_that_refuses_connections(reporting: ReportingSite) -> None:
    """The reports outlive the worker, too."""
    stack = reporting.installation.stack
    connected = await reporting.connected()
    connected.repository.open_pull_request(connected.branch)
    deployment_id = await reporting.deployment(connected)
    await stack.worker.kill()
    await stack.start_worker({"HYDRA_GITHUB__API_URL": f"http://127.0.0.1:{free_port()}"})
    try:
        await reporting.installation.deploy(deployment_id)
    finally:
        await stack.worker.kill()
        await stack.start_worker()

    await assert_reported_once(reporting, connected, deployment_id)


async def test_a_limit_is_kept_to_by_all_that_it_is_for_and_outlives_the_worker(reporting: ReportingSite) -> None:
    installation = reporting.installation
    limited, other = await reporting.connected(), await reporting.connected()
    other.repository.open_pull_request(other.branch)
    told = Fault(403, {"Retry-After": str(HOUR_S)}, LIMITED)
    reporting.github.faults.plan(f"/repos/{limited.repository.full_name}/*", told, method="POST")
    first, second = [await reporting.deployment(limited) for _ in range(2)]

    await installation.deploy(first)
    await asleep(installation, first)
    asked = reporting.asked_of(limited)
    await installation.deploy(second)
    await asleep(installation, second)
    await installation.stack.worker.kill()
    await installation.stack.start_worker()

    async def is_back() -> bool:
        found = [*await handlers(installation, first), *await handlers(installation, second)]
        return len([each for each in found if each.get("retry_count", 0) > 1]) == 2

    if not ALWAYS_REPLAY:  # what is suspended misses no worker
        await until(is_back)
    shown = await reporting.deployment(other)
    await installation.deploy(shown)
    await assert_reported_once(reporting, other, shown)
    assert reporting.asked_of(limited) == asked
    assert (len(await sleeps(installation, first)), len(await sleeps(installation, second))) == (1, 1)
    await end_all(installation, first, second)


async def test_a_limit_that_names_no_time_is_a_minute(reporting: ReportingSite) -> None:
    installation = reporting.installation
    connected = await reporting.connected()
    told = Fault(403, body=LIMITED)
    reporting.github.faults.plan(f"/repos/{connected.repository.full_name}/*", told, method="POST")
    deployment_id = await reporting.deployment(connected)
    before_ms = now_ms()

    await installation.deploy(deployment_id)

    await asleep(installation, deployment_id)
    (until_ms,) = await sleeps(installation, deployment_id)
    assert until_ms - before_ms >= 60_000
    await end_all(installation, deployment_id)


async def test_a_worker_killed_while_it_waits_out_a_limit(reporting: ReportingSite) -> None:
    installation = reporting.installation
    connected = await reporting.connected()
    connected.repository.open_pull_request(connected.branch)
    told = Fault(403, {"Retry-After": "1"}, LIMITED)
    reporting.github.faults.plan(f"/repos/{connected.repository.full_name}/deployments", told, method="POST")
    deployment_id = await reporting.deployment(connected)

    await installation.deploy(deployment_id)
    await asleep(installation, deployment_id)
    await installation.stack.worker.kill()
    await installation.stack.start_worker()

    await assert_reported_once(reporting, connected, deployment_id)


# ------------------------------------------------------------------------------------------------------ permanent

Refusal = Callable[[ReportingSite, Connected], AbstractContextManager[None]]


def known(site: ReportingSite, connected: Connected) -> AppInstallation:
    return site.github.installations[connected.installation_id]


def without(permission: str) -> Refusal:
    @contextmanager
    def lacking(site: ReportingSite, connected: Connected) -> Iterator[None]:
        level = known(site, connected).permissions.pop(permission)
        yield
        known(site, connected).permissions[permission] = level

    return lacking


@contextmanager
def suspended(site: ReportingSite, connected: Connected) -> Iterator[None]:
    known(site, connected).suspended = True
    yield
    known(site, connected).suspended = False


@contextmanager
def uninstalled(site: ReportingSite, connected: Connected) -> Iterator[None]:
    gone = site.github.installations.pop(connected.installation_id)
    yield
    site.github.installations[connected.installation_id] = gone


@contextmanager
def deleted(site: ReportingSite, connected: Connected) -> Iterator[None]:
    gone = site.github.repositories.pop(connected.repository.repository_id)
    yield
    site.github.repositories[connected.repository.repository_id] = gone


@dataclass(frozen=True)
class Case:
    """A refusal, the reason that is logged for it, and which halves of a report it does not concern."""

    refusal: Refusal
    reason: str
    shows_status: bool = False
    shows_comment: bool = False


CASES = {
    "no right to deployments": Case(without("deployments"), "GITHUB_PERMISSION_MISSING", shows_comment=True),
    "no right to pull requests": Case(without("pull_requests"), "GITHUB_PERMISSION_MISSING", shows_status=True),
    "suspended": Case(suspended, "GITHUB_ACCESS_DENIED"),
    "uninstalled": Case(uninstalled, "GITHUB_INSTALLATION_GONE"),
    "repository deleted": Case(deleted, "REPOSITORY_NOT_FOUND"),
}


def given_up(installation: Installation, event: str, about: str) -> set[tuple[str, str]]:
    """Read from the worker's log what was not reported, and the reason for it."""
    lines = [line for line in installation.stack.worker_log.read_text().splitlines() if event in line and about in line]
    found = [(re.search(r"what='?(status|pull request|)", line), re.search(r"reason=(\w+)", line)) for line in lines]
    return {(what[1] if what else "", reason[1] if reason else "") for what, reason in found}


@pytest.mark.parametrize("name", CASES)
async def test_what_is_refused_for_good_is_logged_and_the_rest_is_shown(reporting: ReportingSite, name: str) -> None:
    installation, case = reporting.installation, CASES[name]
    connected = await reporting.connected()
    connected.repository.open_pull_request(connected.branch)
    deployment_id = await reporting.deployment(connected)

    with case.refusal(reporting, connected):
        await installation.deploy(deployment_id)
        await ended(reporting, deployment_id)

    assert await installation.status(deployment_id) == "ready"
    assert states(connected) == (IN_ORDER if case.shows_status else [])
    assert ["Ready" in row.status for row in rows(connected)] == ([True] if case.shows_comment else [])
    refused = {"status": not case.shows_status, "pull request": not case.shows_comment}
    expected = {(what, case.reason) for what, is_refused in refused.items() if is_refused}
    assert given_up(installation, "not reported to GitHub", f"deployment={deployment_id}") == expected


@pytest.mark.parametrize("name", CASES)
async def test_the_next_report_tries_again(reporting: ReportingSite, name: str) -> None:
    installation, case = reporting.installation, CASES[name]
    connected = await reporting.connected()
    connected.repository.open_pull_request(connected.branch)
    deployment_id = await reporting.deployment(connected)

    async def has_failed() -> bool:
        found = await handlers(installation, deployment_id)
        return [each["status"] for each in found] == ["completed"] * (4 if case.shows_comment else 2)

    async with installation.held("save image.before"):
        with case.refusal(reporting, connected):
            call = asyncio.create_task(installation.deploy(deployment_id, timeout=60))
            await until(has_failed)
    await call
    await ended(reporting, deployment_id)

    assert states(connected) == (IN_ORDER if case.shows_status else ["success"])
    assert ["Ready" in row.status for row in rows(connected)] == [True]
    assert len(connected.repository.deployments) == 1


async def test_a_known_pull_request_that_may_not_be_commented_on(reporting: ReportingSite) -> None:
    installation = reporting.installation
    connected = await reporting.connected()
    number = connected.repository.open_pull_request(connected.branch)
    deployment_id = await reporting.deployment(connected, pr_number=number)

    with without("pull_requests")(reporting, connected):
        await installation.deploy(deployment_id)
        await ended(reporting, deployment_id)

    assert (states(connected), rows(connected)) == (IN_ORDER, [])
    key = f"{connected.repository.full_name}#{number}"
    assert given_up(installation, "comment not written", key) == {("", "GITHUB_PERMISSION_MISSING")}
