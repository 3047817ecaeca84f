"""What builds need of repositories on GitHub: the head of a branch, and a token to clone with."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from typing import Protocol
from urllib.parse import quote

from service import clock
from service.github import refusals
from service.github.access import Access
from service.github.answers import Answer
from service.github.app import GitHubApp
from service.github.client import GitHubClient, Request
from service.github.commits import Commit, read_commit, read_reference
from service.github.identity import Ourselves
from service.github.reporting import GitHubReports, NullReports
from service.github.reports import Reports
from service.github.scopes import Grant, Scope
from service.github.tokens import InstallationTokens


@dataclass(frozen=True)
class GitHubSettings:
    """The App, where its GitHub is (Enterprise: `https://<host>/api/v3`), and how long one request may take.

    An `app_id` of 0 is no App. `allow_unauthenticated` lets public repositories do without an installation.
    """

    app_id: int = 0
    private_key_pem: str = field(default="", repr=False)
    api_url: str = "https://api.github.com"
    allow_unauthenticated: bool = False
    timeout: timedelta = timedelta(seconds=10)


class Repositories(Protocol):
    """Repositories, named `owner/name`. Names and branches have been validated by `service.domain.git`.

    All raise Transient for what may pass (with `retry_after_s` where GitHub says so), BuildFailed for what the app's
    owner can put right, and FailedPrecondition for what takes the operator of this service.
    """

    async def branch_head(self, repository: str, branch: str, installation_id: int | None) -> Commit:
        """Look up the newest commit of a branch."""
        ...

    async def pull_request_head(self, repository: str, number: int, installation_id: int | None) -> Commit:
        """Look up the newest commit of a pull request; its `branch` is empty: it may be another repository's."""
        ...

    async def clone_token(self, installation_id: int | None, repository: str) -> str:
        """Return a token that may read the one repository, for five minutes and more; empty where none is needed."""
        ...

    def forget(self, token: str) -> None:
        """Drop a token that git or a builder found wrong, so that the next one is fresh."""
        ...

    async def close(self) -> None: ...


class NullGitHub:
    """GitHub where nothing of it is configured. Says so to whoever wants to read, and reports nothing."""

    reports: Reports = NullReports()

    async def branch_head(self, repository: str, branch: str, installation_id: int | None) -> Commit:  # noqa: ARG002 - the protocol's
        raise refusals.not_configured()

    async def pull_request_head(self, repository: str, number: int, installation_id: int | None) -> Commit:  # noqa: ARG002 - the protocol's
        raise refusals.not_configured()

    async def clone_token(self, installation_id: int | None, repository: str) -> str:  # noqa: ARG002 - the protocol's
        raise refusals.not_configured()

    def forget(self, token: str) -> None:
        """Nothing is kept."""

    async def close(self) -> None:
        """Nothing is open."""


class GitHub:
    """Repositories on a real GitHub, and reports to it. Raises FailedPrecondition for a private key that is none.

    Both share connections, tokens and what GitHub said of its limits.
    """

    def __init__(self, settings: GitHubSettings, now_ms: Callable[[], int] = clock.now_ms) -> None:
        app = GitHubApp(settings.app_id, settings.private_key_pem) if settings.app_id else None
        client = GitHubClient(settings.api_url, settings.timeout, now_ms)
        tokens = InstallationTokens(client, app, now_ms) if app else None
        self._access = Access(client, tokens, allow_unauthenticated=settings.allow_unauthenticated)
        self.reports: Reports = GitHubReports(self._access, Ourselves(client, app, now_ms)) if app else NullReports()

    async def close(self) -> None:
        await self._access.close()

    async def branch_head(self, repository: str, branch: str, installation_id: int | None) -> Commit:
        """Look up the newest commit of a branch, and only GitHub's own no means that there is none (02 · 1.1)."""
        grant = _grant(repository, installation_id)
        answer = await self._get(f"/repos/{repository}/branches/{quote(branch, safe='')}", grant)
        if answer.status == HTTPStatus.OK:
            return read_commit(answer.body)
        if answer.status == HTTPStatus.NOT_FOUND:
            await self._access.look(grant)
        raise refusals.branch_not_found(repository, branch)

    async def pull_request_head(self, repository: str, number: int, installation_id: int | None) -> Commit:
        """Look up the reference that GitHub keeps for it, which takes no more rights than a branch, and its commit."""
        grant = _grant(repository, installation_id)
        answer = await self._get(f"/repos/{repository}/git/ref/pull/{number}/head", grant)
        if answer.status == HTTPStatus.NOT_FOUND:
            await self._access.look(grant)
        if answer.status != HTTPStatus.OK:
            raise refusals.pull_request_not_found(repository, number)
        sha = read_reference(answer.body)
        commit = await self._get(f"/repos/{repository}/commits/{sha}", grant)
        if commit.status != HTTPStatus.OK:
            raise refusals.unavailable(f"GitHub does not know the commit of pull request {number} yet")
        return read_commit({"name": "", "commit": commit.body})

    async def clone_token(self, installation_id: int | None, repository: str) -> str:
        token = await self._access.token(_grant(repository, installation_id))
        return token.value if token else ""

    def forget(self, token: str) -> None:
        self._access.forget(token)

    async def _get(self, path: str, grant: Grant) -> Answer:
        expected = (HTTPStatus.OK, HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY)
        return await self._access.ask(Request("GET", path), grant, expected)


def _grant(repository: str, installation_id: int | None) -> Grant:
    return Grant(installation_id or 0, repository, Scope.CONTENTS)


def open_github(settings: GitHubSettings) -> GitHub | NullGitHub:
    """Choose by what is configured: an App, public repositories alone, or nothing."""
    return GitHub(settings) if settings.app_id or settings.allow_unauthenticated else NullGitHub()
