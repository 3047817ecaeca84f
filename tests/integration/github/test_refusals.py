"""What GitHub refuses: told to who can put it right, in words that say how."""

from dataclasses import replace
from datetime import timedelta

import pytest

from service.errors import BuildFailed, FailedPrecondition, HydraError, Internal, Transient
from service.github.repositories import GitHub, GitHubSettings, NullGitHub, Repositories, open_github
from tests.servers.github import FakeGitHub
from tests.servers.github_clock import Clock
from tests.servers.github_faults import Fault

BRANCH = "/repos/acme/shop/branches/*"
TOKENS = "/app/installations/*/access_tokens"
LAG = timedelta(seconds=11)  # after which a token is known everywhere


async def refused(github: Repositories, installation: int | None, repository: str = "acme/shop") -> HydraError:
    with pytest.raises(HydraError) as caught:
        await github.branch_head(repository, "main", installation)
    assert caught.value.__cause__ is None
    return caught.value


async def test_a_branch_that_is_not_there(fake: FakeGitHub, github: GitHub, installation: int) -> None:
    with pytest.raises(BuildFailed, match="acme/shop has no branch 'release' on GitHub") as caught:
        await github.branch_head("acme/shop", "release", installation)

    assert caught.value.reason == "BRANCH_NOT_FOUND"
    assert caught.value.facts == {"repository": "acme/shop", "branch": "release"}
    assert fake.requests[-1].path == "/repos/acme/shop"


async def test_a_branch_that_github_finds_malformed(fake: FakeGitHub, github: GitHub, installation: int) -> None:
    fake.faults.plan(BRANCH, Fault(422, body={"message": "Validation Failed"}))

    error = await refused(github, installation)

    assert (type(error), error.reason) == (BuildFailed, "BRANCH_NOT_FOUND")


@pytest.mark.parametrize("repository", ["acme/nothing", "nobody/shop"])
async def test_a_repository_that_is_not_there(github: GitHub, installation: int, repository: str) -> None:
    error = await refused(github, installation, repository)

    assert (type(error), error.reason) == (BuildFailed, "REPOSITORY_NOT_FOUND")
    assert error.message.startswith(f"GitHub has no repository {repository}, or does not let us see it")


async def test_a_repository_that_is_deleted_while_its_token_is_kept(
    fake: FakeGitHub, github: GitHub, installation: int, clock: Clock
) -> None:
    await github.branch_head("acme/shop", "main", installation)
    fake.repositories.clear()

    # A moment ago GitHub gave a token for it, so that it may only not know yet.
    assert (await refused(github, installation)).reason == "GITHUB_UNAVAILABLE"
    clock.forward(LAG)
    assert (await refused(github, installation)).reason == "REPOSITORY_NOT_FOUND"


async def test_a_private_repository_is_not_there_for_nobody(anybody: GitHub) -> None:
    assert (await refused(anybody, None)).reason == "REPOSITORY_NOT_FOUND"


async def test_a_repository_that_the_installation_does_not_include(fake: FakeGitHub, github: GitHub) -> None:
    installation = fake.install("acme", only=["acme/books"])

    assert (await refused(github, installation)).reason == "REPOSITORY_NOT_FOUND"


async def test_an_installation_that_may_not_read_contents(fake: FakeGitHub, github: GitHub, installation: int) -> None:
    fake.installations[installation].permissions = {"metadata": "read"}

    error = await refused(github, installation)

    assert (type(error), error.reason) == (BuildFailed, "GITHUB_ACCESS_DENIED")
    assert "may read its contents" in error.message


async def test_an_installation_that_may_do_nothing(fake: FakeGitHub, github: GitHub, installation: int) -> None:
    fake.installations[installation].permissions = {}

    assert (await refused(github, installation)).reason == "GITHUB_ACCESS_DENIED"


async def test_an_installation_that_is_suspended(fake: FakeGitHub, github: GitHub, installation: int) -> None:
    fake.installations[installation].suspended = True

    error = await refused(github, installation)

    assert (type(error), error.reason) == (BuildFailed, "GITHUB_ACCESS_DENIED")
    assert "not suspended" in error.message


async def test_an_installation_that_is_gone(github: GitHub) -> None:
    error = await refused(github, 99)

    assert (type(error), error.reason) == (BuildFailed, "GITHUB_INSTALLATION_GONE")
    assert "connect the repository again" in error.message


async def test_an_app_that_github_does_not_know(fake: FakeGitHub, installation: int) -> None:
    github = GitHub(GitHubSettings(4712, fake.app.private_key_pem, fake.url))

    error = await refused(github, installation)

    assert (type(error), error.reason) == (FailedPrecondition, "GITHUB_AUTH_FAILED")
    assert "check github.app_id, github.private_key_pem and this machine's clock" in error.message
    await github.close()


@pytest.mark.parametrize("drift", [timedelta(minutes=-15), timedelta(minutes=2)])
async def test_a_clock_that_is_wrong(fake: FakeGitHub, installation: int, drift: timedelta) -> None:
    ours = Clock()
    ours.forward(drift)
    github = GitHub(GitHubSettings(fake.app.app_id, fake.app.private_key_pem, fake.url), ours.now_ms)

    assert (await refused(github, installation)).reason == "GITHUB_AUTH_FAILED"
    await github.close()


async def test_a_token_that_is_known_nowhere_yet(fake: FakeGitHub, github: GitHub, installation: int) -> None:
    fake.faults.plan(BRANCH, Fault(401, body={"message": "Bad credentials"}))
    fake.faults.plan(BRANCH, Fault(403, body={"message": "Resource not accessible by integration"}))

    for _ in range(2):
        error = await refused(github, installation)
        assert (type(error), error.reason) == (Transient, "GITHUB_UNAVAILABLE")

    assert (await github.branch_head("acme/shop", "main", installation)).sha == "a" * 40
    assert len(fake.asked("/access_tokens")) == 1


async def test_a_token_that_is_refused_again_when_it_is_fresh(
    fake: FakeGitHub, github: GitHub, installation: int, clock: Clock
) -> None:
    await github.branch_head("acme/shop", "main", installation)
    clock.forward(LAG)
    fake.faults.plan(BRANCH, Fault(401), times=2)

    assert (await refused(github, installation)).reason == "GITHUB_UNAVAILABLE"
    assert len(fake.asked("/access_tokens")) == 2


FINAL = {
    403: (BuildFailed, "GITHUB_ACCESS_DENIED"),
    451: (BuildFailed, "GITHUB_ACCESS_DENIED"),
    400: (Internal, "GITHUB_REFUSED"),
    410: (Internal, "GITHUB_REFUSED"),
}


@pytest.mark.parametrize("status", FINAL)
async def test_other_refusals_are_final(
    fake: FakeGitHub, github: GitHub, installation: int, clock: Clock, status: int
) -> None:
    await github.branch_head("acme/shop", "main", installation)
    clock.forward(LAG)
    fake.faults.plan(BRANCH, Fault(status, body=b"<html>no</html>"))

    error = await refused(github, installation)

    assert (type(error), error.reason) == FINAL[status]


async def test_an_unexpected_answer_to_the_wish_for_a_token(
    fake: FakeGitHub, github: GitHub, installation: int
) -> None:
    fake.faults.plan(TOKENS, Fault(400))

    assert (await refused(github, installation)).reason == "GITHUB_REFUSED"


async def test_a_github_that_answers_nobody_without_a_token(fake: FakeGitHub, anybody: GitHub) -> None:
    fake.faults.plan("/repos/*", Fault(401, body={"message": "Must authenticate to access this API."}))

    assert (await refused(anybody, None)).reason == "GITHUB_INSTALLATION_MISSING"


@pytest.mark.parametrize("nothing", [None, 0])
async def test_without_an_installation(fake: FakeGitHub, github: GitHub, nothing: int | None) -> None:
    error = await refused(github, nothing)

    assert (type(error), error.reason) == (FailedPrecondition, "GITHUB_INSTALLATION_MISSING")
    assert "install the App" in error.message
    with pytest.raises(FailedPrecondition):
        await github.clone_token(nothing, "acme/shop")
    assert fake.requests == []


@pytest.mark.parametrize("installation_id", [None, 0, 7])
async def test_public_repositories_without_an_app(
    fake: FakeGitHub, anybody: GitHub, installation_id: int | None
) -> None:
    fake.repositories[next(iter(fake.repositories))].private = False

    assert (await anybody.branch_head("acme/shop", "main", installation_id)).sha == "a" * 40
    assert await anybody.clone_token(installation_id, "acme/shop") == ""
    anybody.forget("")

    assert [asked.who for asked in fake.requests] == ["nobody"]


async def test_a_token_is_used_wherever_there_can_be_one(fake: FakeGitHub, installation: int) -> None:
    fake.repositories[next(iter(fake.repositories))].private = False
    settings = GitHubSettings(fake.app.app_id, fake.app.private_key_pem, fake.url, allow_unauthenticated=True)
    github = GitHub(settings)

    await github.branch_head("acme/shop", "main", installation)
    await github.branch_head("acme/shop", "main", None)

    assert [asked.who for asked in fake.asked("/branches/main")] == [f"installation {installation}", "nobody"]
    await github.close()


async def test_where_no_app_is_configured(fake: FakeGitHub, installation: int) -> None:
    github = GitHub(GitHubSettings(api_url=fake.url))

    for closed in (github, NullGitHub()):
        error = await refused(closed, installation)
        assert (type(error), error.reason) == (FailedPrecondition, "GITHUB_NOT_CONFIGURED")
        assert "set github.app_id and github.private_key_pem" in error.message
        with pytest.raises(FailedPrecondition, match="not configured"):
            await closed.clone_token(installation, "acme/shop")
        closed.forget("x")
        await closed.close()


async def test_what_is_opened_is_what_is_configured(fake: FakeGitHub) -> None:
    settings = GitHubSettings(fake.app.app_id, fake.app.private_key_pem, fake.url)
    for configured, kind in [
        (settings, GitHub),
        (replace(settings, app_id=0), NullGitHub),
        (replace(settings, app_id=0, allow_unauthenticated=True), GitHub),
        (GitHubSettings(), NullGitHub),
    ]:
        opened = open_github(configured)
        assert type(opened) is kind
        await opened.close()
