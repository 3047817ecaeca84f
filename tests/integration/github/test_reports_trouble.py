"""What reports need of GitHub, and what becomes of them where they do not get it."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta

import pytest

from service.errors import FailedPrecondition, HydraError, Transient
from service.github.reports import DeploymentState, NewDeployment, Reports, Site, Status
from service.github.repositories import GitHub, GitHubSettings, open_github
from tests.servers.github import FakeGitHub
from tests.servers.github_clock import Clock
from tests.servers.github_faults import End, Fault
from tests.servers.github_repository import Head, Repository

DEPLOYMENTS = "/repos/acme/shop/deployments"
TOKENS = "/app/installations/*/access_tokens"
LAG = timedelta(seconds=11)  # after which a token is known everywhere
NEW = NewDeployment("d_1", "a" * 40, "shop - preview", is_production=False)
STATUS = Status(DeploymentState.SUCCESS, "Ready", "shop - preview", "", "")

# Everything that is reported, by what it asks for.
Report = Callable[[Reports, Site], Awaitable[object]]
REPORTS: dict[str, tuple[str, Report]] = {
    "open deployment": ("deployments", lambda reports, site: reports.open_deployment(site, NEW)),
    "report status": ("deployments", lambda reports, site: reports.report_status(site, 1, STATUS)),
    "find pull request": ("pull_requests", lambda reports, site: reports.find_pull_request(site, "next")),
    "find comment": ("pull_requests", lambda reports, site: reports.find_comment(site, 1, "<!-- x -->", 0)),
    "write comment": ("pull_requests", lambda reports, site: reports.write_comment(site, 1, 0, "text")),
    "edit comment": ("pull_requests", lambda reports, site: reports.write_comment(site, 1, 1, "text")),
}


@pytest.fixture(autouse=True)
def shop(fake: FakeGitHub) -> Repository:
    shop = fake.repository("acme/shop")
    shop.branches["next"] = Head("b" * 40)
    shop.open_pull_request("next")
    return shop


async def trouble(report: Awaitable[object]) -> HydraError:
    with pytest.raises(HydraError) as caught:
        await report
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value


@pytest.mark.parametrize("what", REPORTS)
async def test_a_report_asks_for_one_permission_on_one_repository(
    fake: FakeGitHub, reports: Reports, site: Site, what: str
) -> None:
    permission, report = REPORTS[what]
    with suppress(FailedPrecondition):  # the status is one of a deployment that is not there
        await report(reports, site)

    (asked,) = fake.asked("/access_tokens")
    assert asked.body == {"repositories": ["shop"], "permissions": {permission: "write"}}
    used = {
        each.headers["Authorization"].removeprefix("Bearer ")
        for each in fake.requests
        if each.path.startswith("/repos/")
    }
    assert [fake.tokens.given[token].permissions for token in used] == [{"metadata": "read", permission: "write"}]


async def test_tokens_of_different_scopes_are_kept_apart(fake: FakeGitHub, github: GitHub, site: Site) -> None:
    for _ in range(2):
        clone = await github.clone_token(site.installation_id, site.repository)
        await github.reports.open_deployment(site, NEW)
        await github.reports.find_pull_request(site, "next")

    assert [asked.body["permissions"] for asked in fake.asked("/access_tokens")] == [
        {"contents": "read"},
        {"deployments": "write"},
        {"pull_requests": "write"},
    ]
    assert fake.tokens.given[clone].permissions == {"contents": "read", "metadata": "read"}


@pytest.mark.parametrize("what", REPORTS)
@pytest.mark.parametrize("granted", ["none", "read"])
async def test_a_permission_that_is_missing_is_called_by_its_name(
    fake: FakeGitHub, reports: Reports, site: Site, what: str, granted: str
) -> None:
    permission, report = REPORTS[what]
    permissions = fake.installations[site.installation_id].permissions
    del permissions[permission]
    if granted == "read":
        permissions[permission] = "read"

    error = await trouble(report(reports, site))

    label = {"deployments": "Deployments: write", "pull_requests": "Pull requests: write"}[permission]
    assert (type(error), error.reason) == (FailedPrecondition, "GITHUB_PERMISSION_MISSING")
    assert error.message == (
        f"the GitHub App may not write {permission.replace('_', ' ')} of acme/shop: "
        f"give it the permission `{label}` and accept it on the installation"
    )
    assert error.facts == {"repository": "acme/shop", "permission": label}


async def test_one_permission_does_not_take_another(fake: FakeGitHub, github: GitHub, site: Site) -> None:
    permissions = fake.installations[site.installation_id].permissions
    del permissions["pull_requests"]
    del permissions["contents"]

    assert await github.reports.open_deployment(site, NEW)
    assert (await trouble(github.branch_head("acme/shop", "main", site.installation_id))).reason == (
        "GITHUB_ACCESS_DENIED"
    )
    permissions["pull_requests"] = "write"
    assert await github.reports.find_pull_request(site, "next") == 1


async def test_a_repository_that_the_installation_does_not_include(fake: FakeGitHub, reports: Reports) -> None:
    fake.add_repository("mallory/shop", private=False)
    for repository, reason in [
        ("acme/nothing", "REPOSITORY_NOT_FOUND"),
        ("mallory/shop", "GITHUB_ACCESS_DENIED"),
    ]:
        error = await trouble(reports.open_deployment(Site(fake.install("acme"), repository), NEW))
        assert error.reason == reason
    assert "may write its deployments" in error.message


async def test_an_installation_that_is_gone_or_never_was(reports: Reports) -> None:
    assert (await trouble(reports.open_deployment(Site(99, "acme/shop"), NEW))).reason == "GITHUB_INSTALLATION_GONE"
    assert (await trouble(reports.open_deployment(Site(0, "acme/shop"), NEW))).reason == "GITHUB_INSTALLATION_MISSING"


async def test_who_may_read_without_a_token_may_not_write_so(fake: FakeGitHub, shop: Repository, clock: Clock) -> None:
    shop.private = False
    settings = GitHubSettings(fake.app.app_id, fake.app.private_key_pem, fake.url, allow_unauthenticated=True)
    github = GitHub(settings, clock.now_ms)

    assert await github.clone_token(None, "acme/shop") == ""
    error = await trouble(github.reports.write_comment(Site(0, "acme/shop"), 1, 0, "text"))

    assert error.reason == "GITHUB_INSTALLATION_MISSING"
    assert fake.requests == []
    await github.close()


async def test_an_app_that_github_does_not_know(fake: FakeGitHub, site: Site) -> None:
    github = GitHub(GitHubSettings(4712, fake.app.private_key_pem, fake.url))

    for report in (github.reports.open_deployment(site, NEW), github.reports.find_comment(site, 1, "x", 0)):
        assert (await trouble(report)).reason == "GITHUB_AUTH_FAILED"
    await github.close()


@pytest.mark.parametrize("what", REPORTS)
@pytest.mark.parametrize("fault", [Fault(500), Fault(502, body=b"<html>"), Fault(end=End.CLOSE), Fault(200, body=b"{")])
async def test_an_outage_passes(fake: FakeGitHub, reports: Reports, site: Site, what: str, fault: Fault) -> None:
    fake.faults.plan("/repos/*", fault)

    error = await trouble(REPORTS[what][1](reports, site))

    assert (type(error), error.reason) == (Transient, "GITHUB_UNAVAILABLE")


@pytest.mark.parametrize("what", REPORTS)
async def test_a_github_that_does_not_answer_is_waited_for_no_longer_than_that(
    fake: FakeGitHub, site: Site, what: str
) -> None:
    settings = GitHubSettings(fake.app.app_id, fake.app.private_key_pem, fake.url, timeout=timedelta(milliseconds=300))
    github = GitHub(settings)
    fake.faults.plan("/repos/*", Fault(end=End.HANG))

    error = await trouble(REPORTS[what][1](github.reports, site))

    assert (type(error), error.message) == (Transient, "GitHub did not answer in time")
    await github.close()


@pytest.mark.parametrize(("status", "says_when"), [(403, True), (429, True), (403, False), (429, False)])
async def test_too_much_writing_is_stopped_until_it_may_go_on(
    fake: FakeGitHub, github: GitHub, clock: Clock, status: int, says_when: bool
) -> None:
    reports, site = github.reports, Site(fake.install("acme"), "acme/shop")
    fake.limits.secondary(1, status=status, says_when=says_when)
    await reports.write_comment(site, 1, 0, "text")
    clock.forward(timedelta(seconds=20))

    first = await trouble(reports.open_deployment(site, NEW))
    asked = len(fake.requests)
    second = await trouble(reports.find_comment(site, 1, "x", 0))
    third = await trouble(github.branch_head("acme/shop", "main", site.installation_id))

    assert {error.reason for error in (first, second, third)} == {"GITHUB_RATE_LIMITED"}
    assert all(isinstance(error, Transient) for error in (first, second, third))
    wait_s = int(first.facts["retry_after_s"])
    assert (30 < wait_s <= 40) if says_when else wait_s == 60
    # What is asked with the App's own credential or for a token has a limit of its own.
    assert [each for each in fake.requests[asked:] if each.who.startswith("installation")] == []
    assert fake.repository("acme/shop").deployments == []
    clock.forward(timedelta(seconds=wait_s + 1))
    assert await reports.open_deployment(site, NEW)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(403, {"Retry-After": "17"}, {"message": "You have exceeded a secondary rate limit."}),
        Fault(429, {"Retry-After": "17"}),
    ],
)
async def test_a_limit_is_an_installations(fake: FakeGitHub, reports: Reports, site: Site, fault: Fault) -> None:
    fake.faults.plan(DEPLOYMENTS, fault, method="POST")

    error = await trouble(reports.open_deployment(site, NEW))

    assert error.facts == {"retry_after_s": "17"}
    assert await reports.open_deployment(Site(fake.install("acme"), "acme/shop"), NEW)


async def test_the_older_words_for_a_limit(fake: FakeGitHub, reports: Reports, site: Site) -> None:
    message = "You have triggered an abuse detection mechanism. Please retry your request again later."
    fake.faults.plan(DEPLOYMENTS, Fault(403, body={"message": message}), method="POST")

    error = await trouble(reports.open_deployment(site, NEW))

    assert (error.reason, error.facts) == ("GITHUB_RATE_LIMITED", {"retry_after_s": "60"})


async def test_the_limit_of_an_hour(fake: FakeGitHub, reports: Reports, site: Site, clock: Clock) -> None:
    fake.limits.allow(site.installation_id, 1, clock.now_ms() + 600_000)

    error = await trouble(reports.open_deployment(site, NEW))

    assert error.reason == "GITHUB_RATE_LIMITED"
    assert 480 < int(error.facts["retry_after_s"]) <= 601  # the reset is a whole second


async def test_a_token_that_github_took_back_is_replaced(
    fake: FakeGitHub, shop: Repository, reports: Reports, site: Site, clock: Clock
) -> None:
    written = await reports.write_comment(site, 1, 0, "text")
    clock.forward(LAG)
    for report in (
        reports.write_comment(site, 1, written, "text!"),
        reports.find_comment(site, 1, "text", 0),
        reports.write_comment(site, 1, 0, "more"),
    ):
        fake.tokens.revoke()
        clock.forward(LAG)
        await report

    assert [comment.body for comment in shop.comments(1)] == ["text!", "more"]


async def test_a_token_that_is_known_nowhere_yet(fake: FakeGitHub, reports: Reports, site: Site, clock: Clock) -> None:
    for fault in (Fault(401), Fault(403, body={"message": "Resource not accessible by integration"})):
        fake.faults.plan("*/comments", fault, method="POST")
        assert (await trouble(reports.write_comment(site, 1, 0, "text"))).reason == "GITHUB_UNAVAILABLE"

    clock.forward(LAG)
    fake.faults.plan("*/comments", Fault(403, body={"message": "Resource not accessible by integration"}))
    error = await trouble(reports.write_comment(site, 1, 0, "text"))

    assert error.reason == "GITHUB_ACCESS_DENIED"
    assert "may write its pull requests" in error.message


@pytest.mark.parametrize("status", [400, 405, 418])
@pytest.mark.parametrize("what", REPORTS)
async def test_an_answer_that_nobody_expects_is_final(
    fake: FakeGitHub, reports: Reports, site: Site, what: str, status: int
) -> None:
    fake.faults.plan("/repos/*", Fault(status))

    assert (await trouble(REPORTS[what][1](reports, site))).reason == "GITHUB_REFUSED"


async def test_a_moved_list_is_asked_for_as_before(
    fake: FakeGitHub, shop: Repository, reports: Reports, site: Site
) -> None:
    there = f"{fake.url}/repositories/{shop.repository_id}/pulls"
    for location in (there, f"{there}?head=acme%3Anext&page=1&per_page=100&state=open&of=theirs"):
        fake.faults.plan("*/pulls", Fault(301, {"Location": location}))
        assert await reports.find_pull_request(site, "next") == 1

    asked, moved, _, with_its_own = (each.query for each in fake.asked("/pulls"))
    assert moved == asked
    assert with_its_own["of"] == "theirs"


@pytest.mark.parametrize("settings", [GitHubSettings(), GitHubSettings(allow_unauthenticated=True)])
async def test_without_an_app_nothing_is_reported(settings: GitHubSettings) -> None:
    opened, site = open_github(settings), Site(7, "acme/shop")

    assert await opened.reports.open_deployment(site, NEW) == 0
    await opened.reports.report_status(site, 0, STATUS)
    assert await opened.reports.find_pull_request(site, "next") == 0
    assert await opened.reports.find_comment(site, 1, "x", 7) is None
    assert await opened.reports.write_comment(site, 1, 0, "text") == 0
    await opened.close()
