"""The App's key, its assertions and the tokens are in nothing that people or logs get to see."""

import logging
import traceback
from collections.abc import Awaitable, Iterator
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
import structlog

from service.errors import HydraError
from service.github.app import GitHubApp
from service.github.client import Credential
from service.github.reports import DeploymentState, NewDeployment, Site, Status
from service.github.repositories import GitHub, GitHubSettings
from tests.servers.github import FakeGitHub
from tests.servers.github_clock import Clock
from tests.servers.github_faults import End, Fault

BRANCH = "/repos/acme/shop/branches/*"
TOKENS = "/app/installations/*/access_tokens"


@pytest.fixture
def lines() -> Iterator[StringIO]:
    """Collect every line of ours and of every library, at the finest level."""
    written = StringIO()
    handler = logging.StreamHandler(written)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    before = structlog.get_config()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(written), cache_logger_on_first_use=False)
    yield written
    structlog.configure(**before)
    root.setLevel(level)
    root.removeHandler(handler)


async def test_no_secret_is_in_a_log_line_an_error_or_a_repr(
    fake: FakeGitHub, installation: int, clock: Clock, lines: StringIO
) -> None:
    settings = GitHubSettings(fake.app.app_id, fake.app.private_key_pem, fake.url)
    github = GitHub(settings, clock.now_ms)
    shown = [repr(settings), repr(github), repr(vars(github)), repr(GitHubApp(1, fake.app.private_key_pem))]

    await github.branch_head("acme/shop", "main", installation)
    token = await github.clone_token(installation, "acme/shop")
    github.forget(token)
    told_back = {"message": f"Bad credentials {token}", "token": token}
    for path, fault in [
        (TOKENS, Fault(401, body=told_back)),
        (TOKENS, Fault(403, body=told_back)),
        (TOKENS, Fault(404, body=told_back)),
        (TOKENS, Fault(418, body=told_back)),
        (TOKENS, Fault(500, body=told_back)),
        (TOKENS, Fault(201, body={"token": f"{token}\n", "expires_at": "2099-01-01T00:00:00Z"})),
        (TOKENS, Fault(201, body={"token": token})),
        (TOKENS, Fault(end=End.CLOSE)),
        (BRANCH, Fault(401, body=told_back)),
        (BRANCH, Fault(403, body=told_back)),
        (BRANCH, Fault(302, {"Location": "http://elsewhere.invalid/"}, told_back)),
        (BRANCH, Fault(200, body=told_back)),
        (BRANCH, Fault(end=End.CLOSE)),
        (BRANCH, Fault(429, body=told_back)),
    ]:
        fake.faults.plan(path, fault)
        shown.append(await told(github, installation))
    shown.append(repr(vars(vars(github)["_access"])["_tokens"].__dict__))
    await github.close()

    assertions = {asked.headers["Authorization"].partition(" ")[2] for asked in fake.asked("/access_tokens")}
    planted = {*assertions, *fake.tokens.given, *fake.app.private_key_pem.split("\n")[1:-2]}
    assert assertions
    assert "GitHub refuses" in lines.getvalue()
    assert "send_request_headers" in lines.getvalue()
    everything = "\n".join([*shown, lines.getvalue()])
    assert [secret for secret in planted if secret in everything] == []


async def test_no_secret_is_shown_by_a_report(
    fake: FakeGitHub, github: GitHub, site: Site, clock: Clock, lines: StringIO
) -> None:
    reports = github.reports
    made = await reports.open_deployment(site, NewDeployment("d_1", "a" * 40, "preview", is_production=False))
    clock.forward(timedelta(seconds=11))
    status = Status(DeploymentState.SUCCESS, "Ready", "preview", "", "")
    told_back = {"message": f"Bad credentials {' '.join(fake.tokens.given)}"}
    shown = [repr(github), repr(reports), repr(vars(reports))]
    for answer in (400, 401, 403, 404, 409, 410, 418, 422, 429, 500):
        fake.faults.plan("/repos/*", Fault(answer, body=told_back), times=2)
        shown += [
            await all_of(reports.report_status(site, made, status)),
            await all_of(reports.find_comment(site, 1, "x", 0)),
            await all_of(reports.write_comment(site, 1, 0, "x")),
        ]
        clock.forward(timedelta(hours=2))

    planted = {*fake.tokens.given, *(asked.headers["Authorization"].partition(" ")[2] for asked in fake.requests)}
    everything = "\n".join([*shown, lines.getvalue()])
    assert len(planted) > 10
    assert "GitHub refuses" in everything
    assert [secret for secret in planted if secret in everything] == []


async def told(github: GitHub, installation: int) -> str:
    """Fail, and return all that an error handler could print of it."""
    return await all_of(github.branch_head("acme/shop", "main", installation))


async def all_of(failing: Awaitable[object]) -> str:
    with pytest.raises(HydraError) as caught:
        await failing
    error: Any = caught.value
    return f"{error!r} {error!s} {error.facts} {''.join(traceback.format_exception(error))}"


def test_a_credential_does_not_show_its_token() -> None:
    assert repr(Credential("the app", "s3cret")) == "Credential(name='the app')"
