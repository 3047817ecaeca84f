"""The head of a branch: which commit it is, what is kept of it, and what is followed to find it."""

import pytest

from service.errors import HydraError, Transient
from service.github.commits import Commit
from service.github.repositories import GitHub, GitHubSettings
from tests.servers.github import FakeGitHub
from tests.servers.github_faults import Fault
from tests.servers.github_repository import Head


async def test_a_private_repository_is_read_with_a_token_of_its_own(
    fake: FakeGitHub, github: GitHub, installation: int
) -> None:
    assert await github.branch_head("acme/shop", "main", installation) == Commit(
        sha="a" * 40,
        branch="main",
        message="Sell shoes",
        author_handle="octocat",
        author_avatar_url="https://avatars.githubusercontent.com/u/1?v=4",
        committed_at_ms=1_770_091_506_000,
    )
    given, read = fake.requests
    assert (given.method, given.path, given.who) == ("POST", f"/app/installations/{installation}/access_tokens", "app")
    assert given.body == {"repositories": ["shop"], "permissions": {"contents": "read"}}
    assert (read.method, read.path, read.who) == (
        "GET",
        "/repos/acme/shop/branches/main",
        f"installation {installation}",
    )


async def test_every_request_says_what_it_is(fake: FakeGitHub, github: GitHub, installation: int) -> None:
    await github.branch_head("acme/shop", "main", installation)

    for asked in fake.requests:
        assert asked.headers["Accept"] == "application/vnd.github+json"
        assert asked.headers["X-GitHub-Api-Version"] == "2022-11-28"
        assert asked.headers["User-Agent"] == "hydra-deploy"


@pytest.mark.parametrize("branch", ["feature/new-shop", "release#1", "50%", "ça-va", "a?b=c", "a&b+c"])
async def test_a_branch_may_be_called_anything(
    fake: FakeGitHub, github: GitHub, installation: int, branch: str
) -> None:
    fake.add_repository("acme/odd", branches={branch: Head("b" * 40)})

    head = await github.branch_head("acme/odd", branch, installation)

    assert (head.sha, head.branch) == ("b" * 40, branch)


async def test_enterprise_has_its_api_under_a_path(fake: FakeGitHub) -> None:
    async with FakeGitHub(prefix="/api/v3") as enterprise:
        installation = enterprise.install("acme")
        repository = enterprise.add_repository("acme/old", branches={"main": Head("e" * 40)})
        enterprise.rename(repository, "acme/new")
        settings = GitHubSettings(enterprise.app.app_id, enterprise.app.private_key_pem, enterprise.url + "/")
        github = GitHub(settings)

        assert (await github.branch_head("acme/old", "main", installation)).sha == "e" * 40
        await github.close()
    assert fake.requests == []


async def test_a_renamed_branch_is_followed_and_called_by_its_new_name(
    fake: FakeGitHub, github: GitHub, installation: int
) -> None:
    repository = fake.add_repository("acme/blog", branches={"trunk/new": Head("c" * 40)})
    repository.renamed["master"] = "trunk/new"

    head = await github.branch_head("acme/blog", "master", installation)

    assert (head.sha, head.branch) == ("c" * 40, "trunk/new")
    assert {asked.who for asked in fake.asked("/branches/trunk%2Fnew")} == {f"installation {installation}"}


async def test_a_renamed_public_repository_is_followed(fake: FakeGitHub, anybody: GitHub) -> None:
    repository = fake.add_repository("acme/old", private=False, branches={"main": Head("d" * 40)})
    fake.rename(repository, "acme/new")

    assert (await anybody.branch_head("acme/old", "main", None)).sha == "d" * 40


async def test_a_renamed_private_repository_is_found_by_its_id(
    fake: FakeGitHub, github: GitHub, installation: int
) -> None:
    repository = fake.add_repository("acme/old", branches={"main": Head("d" * 40)})
    fake.rename(repository, "acme/new")

    assert (await github.branch_head("acme/old", "main", installation)).sha == "d" * 40

    assert [asked.body for asked in fake.asked("/access_tokens")] == [
        {"repositories": ["old"], "permissions": {"contents": "read"}},
        {"permissions": {"metadata": "read"}},
        {"repository_ids": [repository.repository_id], "permissions": {"contents": "read"}},
    ]
    token = await github.clone_token(installation, "acme/old")
    assert fake.valid_token(token, "acme/new")
    assert not fake.valid_token(token, "acme/shop")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_on_the_same_host_is_followed(
    fake: FakeGitHub, github: GitHub, installation: int, status: int
) -> None:
    elsewhere = f"{fake.url}/repos/ACME/shop/branches/main"
    fake.faults.plan("/repos/acme/shop/*", Fault(status, {"Location": elsewhere}))

    assert (await github.branch_head("acme/shop", "main", installation)).sha == "a" * 40

    assert fake.requests[-1].path == "/repos/ACME/shop/branches/main"


async def test_a_redirected_request_is_repeated_as_it_was(fake: FakeGitHub, github: GitHub, installation: int) -> None:
    path = f"/app/installations/{installation}/access_tokens"
    fake.faults.plan(path, Fault(307, {"Location": path}))

    await github.branch_head("acme/shop", "main", installation)

    first, second = fake.asked("/access_tokens")
    assert (second.method, second.body, second.who) == (first.method, first.body, "app")


async def test_no_other_host_is_asked(fake: FakeGitHub, github: GitHub, installation: int) -> None:
    async with FakeGitHub() as other:
        for location in (f"{other.url}/repos/acme/shop/branches/main", "https://127.0.0.1/x", "file:///etc/passwd"):
            fake.faults.plan("/repos/*", Fault(301, {"Location": location}))
            with pytest.raises(Transient, match="another host") as caught:
                await github.branch_head("acme/shop", "main", installation)
            assert caught.value.reason == "GITHUB_UNAVAILABLE"
        assert other.requests == []


@pytest.mark.parametrize("headers", [{"Location": "/repos/acme/shop/branches/main"}, {}, {"Location": ""}])
async def test_redirects_in_circles_end(
    fake: FakeGitHub, github: GitHub, installation: int, headers: dict[str, str]
) -> None:
    fake.faults.plan("/repos/*", Fault(302, headers), times=100)

    with pytest.raises(Transient, match="circles"):
        await github.branch_head("acme/shop", "main", installation)

    assert len(fake.asked("/branches/main")) == 6


async def test_a_redirect_to_what_is_no_address(fake: FakeGitHub, github: GitHub, installation: int) -> None:
    fake.faults.plan("/repos/*", Fault(302, {"Location": "http://[::1"}))

    with pytest.raises(HydraError) as caught:
        await github.branch_head("acme/shop", "main", installation)

    assert caught.value.reason == "GITHUB_UNAVAILABLE"
