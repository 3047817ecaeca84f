"""What builds need of repositories on GitHub: the head of a branch, and a token to clone with."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from typing import Protocol
from urllib.parse import quote

from service import clock
from service.github import refusals
from service.github.answers import Answer
from service.github.app import GitHubApp
from service.github.client import NOBODY, GitHubClient
from service.github.commits import Commit, read_commit, read_reference
from service.github.tokens import InstallationToken, InstallationTokens


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
    """GitHub where nothing of it is configured. Says so."""

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
    """Repositories on a real GitHub. Raises FailedPrecondition for a private key that is none."""

    def __init__(self, settings: GitHubSettings, now_ms: Callable[[], int] = clock.now_ms) -> None:
        app = GitHubApp(settings.app_id, settings.private_key_pem) if settings.app_id else None
        self._client = GitHubClient(settings.api_url, settings.timeout, now_ms)
        self._tokens = InstallationTokens(self._client, app, now_ms) if app else None
        self._allow_unauthenticated = settings.allow_unauthenticated

    async def close(self) -> None:
        if self._tokens is not None:
            await self._tokens.close()
        await self._client.close()

    async def branch_head(self, repository: str, branch: str, installation_id: int | None) -> Commit:
        """Look up the newest commit of a branch, and only GitHub's own no means that there is none (02 · 1.1)."""
        path = f"/repos/{repository}/branches/{quote(branch, safe='')}"
        answer = await self._get(path, repository, installation_id)
        if answer.status == HTTPStatus.OK:
            return read_commit(answer.body)
        if answer.status == HTTPStatus.NOT_FOUND:
            await self._require(repository, installation_id)
        raise refusals.branch_not_found(repository, branch)

    async def pull_request_head(self, repository: str, number: int, installation_id: int | None) -> Commit:
        """Look up the reference that GitHub keeps for it, which takes no more rights than a branch, and its commit."""
        reference = f"/repos/{repository}/git/ref/pull/{number}/head"
        answer = await self._get(reference, repository, installation_id)
        if answer.status == HTTPStatus.NOT_FOUND:
            await self._require(repository, installation_id)
        if answer.status != HTTPStatus.OK:
            raise refusals.pull_request_not_found(repository, number)
        sha = read_reference(answer.body)
        commit = await self._get(f"/repos/{repository}/commits/{sha}", repository, installation_id)
        if commit.status != HTTPStatus.OK:
            raise refusals.unavailable(f"GitHub does not know the commit of pull request {number} yet")
        return read_commit({"name": "", "commit": commit.body})

    async def clone_token(self, installation_id: int | None, repository: str) -> str:
        token = await self._token(installation_id, repository)
        return token.value if token else ""

    def forget(self, token: str) -> None:
        if self._tokens is not None:
            self._tokens.forget(token)

    async def _token(self, installation_id: int | None, repository: str) -> InstallationToken | None:
        """Return a token wherever there can be one, None where the configuration allows to go without."""
        if self._tokens is not None and installation_id:
            return await self._tokens.get(installation_id, repository)
        if self._allow_unauthenticated:
            return None
        raise refusals.installation_missing(repository) if self._tokens else refusals.not_configured()

    async def _require(self, repository: str, installation_id: int | None) -> None:
        """Raise what is wrong with the repository, if something is."""
        answer = await self._get(f"/repos/{repository}", repository, installation_id)
        if answer.status != HTTPStatus.OK:
            token = await self._token(installation_id, repository)
            raise refusals.not_yet() if self._is_new(token) else refusals.repository_not_found(repository)

    async def _get(self, path: str, repository: str, installation_id: int | None) -> Answer:
        """Ask with a token, and with a fresh one where an old one is refused. The answer is 200, 404 or 422."""
        token = await self._token(installation_id, repository)
        answer = await self._ask(path, token)
        if answer.status == HTTPStatus.UNAUTHORIZED and token is not None and not self._is_new(token):
            self.forget(token.value)
            token = await self._token(installation_id, repository)
            answer = await self._ask(path, token)
        match answer.status:
            case HTTPStatus.OK | HTTPStatus.NOT_FOUND | HTTPStatus.UNPROCESSABLE_ENTITY:
                return answer
            case HTTPStatus.UNAUTHORIZED:
                raise refusals.not_yet() if token else refusals.installation_missing(repository)
            case HTTPStatus.FORBIDDEN | HTTPStatus.UNAVAILABLE_FOR_LEGAL_REASONS:
                raise refusals.not_yet() if self._is_new(token) else refusals.access_denied(repository)
        raise refusals.unexpected(answer.status)

    async def _ask(self, path: str, token: InstallationToken | None) -> Answer:
        return await self._client.request("GET", path, token.credential if token else NOBODY)

    def _is_new(self, token: InstallationToken | None) -> bool:
        return token is not None and self._tokens is not None and self._tokens.is_new(token)


def open_github(settings: GitHubSettings) -> Repositories:
    """Choose by what is configured: an App, public repositories alone, or nothing."""
    return GitHub(settings) if settings.app_id or settings.allow_unauthenticated else NullGitHub()
