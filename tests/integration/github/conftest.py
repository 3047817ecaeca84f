from collections.abc import AsyncIterator

import pytest

from service.github.reports import Reports, Site
from service.github.repositories import GitHub, GitHubSettings
from tests.servers.github import FakeGitHub
from tests.servers.github_clock import Clock
from tests.servers.github_repository import Head, Repository


@pytest.fixture
def clock() -> Clock:
    """Return the time, as the service and GitHub agree on it."""
    return Clock()


@pytest.fixture
async def fake(clock: Clock) -> AsyncIterator[FakeGitHub]:
    """Run a GitHub with a private repository, acme/shop."""
    async with FakeGitHub(now_ms=clock.now_ms) as fake:
        fake.add_repository("acme/shop", branches={"main": Head("a" * 40)})
        yield fake


@pytest.fixture
def installation(fake: FakeGitHub) -> int:
    return fake.install("acme")


@pytest.fixture
async def github(fake: FakeGitHub, clock: Clock) -> AsyncIterator[GitHub]:
    """Open the fake as its App."""
    github = GitHub(GitHubSettings(fake.app.app_id, fake.app.private_key_pem, fake.url), clock.now_ms)
    yield github
    await github.close()


@pytest.fixture
async def anybody(fake: FakeGitHub, clock: Clock) -> AsyncIterator[GitHub]:
    """Open the fake without an App, where public repositories may do so."""
    github = GitHub(GitHubSettings(api_url=fake.url, allow_unauthenticated=True), clock.now_ms)
    yield github
    await github.close()


@pytest.fixture
def shop(fake: FakeGitHub) -> Repository:
    return fake.repository("acme/shop")


@pytest.fixture
def reports(github: GitHub) -> Reports:
    return github.reports


@pytest.fixture
def site(installation: int) -> Site:
    return Site(installation, "acme/shop")
