"""Installation tokens: each for one use of one repository, asked for once, and kept until shortly before its end."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from typing import Any

from service.github import refusals
from service.github.answers import Answer, find, moment_ms, text
from service.github.app import GitHubApp
from service.github.client import Credential, GitHubClient, Request
from service.github.scopes import Grant, Scope

_MARGIN_MS = int(timedelta(minutes=5).total_seconds() * 1000)
# Parts of GitHub learn of a token and its rights only seconds after it was given (octokit/auth-app.js, issues 65, 589).
_LAG_MS = 10_000
# Of a permission, where other refusals of a token are about repositories. No code tells the two apart.
_NOT_GRANTED = "permissions requested are not granted"
_TOKEN = re.compile(r"[\x21-\x7e]{1,4096}")  # GitHub promises no form, and a header takes no more than this

Key = tuple[int, str, Scope]


@dataclass(frozen=True)
class InstallationToken:
    """A token, until when it is good, and since when it was known."""

    value: str = field(repr=False)
    installation_id: int
    given_at_ms: int
    ends_at_ms: int

    @property
    def credential(self) -> Credential:
        return Credential(f"installation {self.installation_id}", self.value)


class InstallationTokens:
    """The tokens of an App's installations."""

    def __init__(self, client: GitHubClient, app: GitHubApp, now_ms: Callable[[], int]) -> None:
        self._client = client
        self._app = app
        self._now_ms = now_ms
        self._kept: dict[Key, InstallationToken] = {}
        self._asked: dict[Key, asyncio.Task[InstallationToken]] = {}

    async def get(self, grant: Grant) -> InstallationToken:
        """Return a token for no more than what is granted, that is good for five minutes and more.

        Raises BuildFailed where the installation or its right to the repository is gone, FailedPrecondition where
        GitHub does not accept the App itself, or the installation does not let it do that much.
        """
        key = (grant.installation_id, grant.repository.lower(), grant.scope)
        kept = self._kept.get(key)
        if kept is not None and self._is_good(kept):
            return kept
        task = self._asked.get(key)
        if task is None:
            task = self._asked[key] = asyncio.create_task(self._ask(grant))
            task.add_done_callback(partial(self._keep, key))
        return await asyncio.shield(task)  # one caller's cancellation is not the others'

    def forget(self, value: str) -> None:
        """Drop a token that was refused; one that was given since stays."""
        self._kept = {key: token for key, token in self._kept.items() if token.value != value}

    def is_new(self, token: InstallationToken) -> bool:
        """Tell whether GitHub may refuse the token only because parts of it have not heard of it."""
        return self._now_ms() - token.given_at_ms < _LAG_MS

    async def close(self) -> None:
        """End the requests that are under way."""
        tasks = list(self._asked.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _is_good(self, token: InstallationToken) -> bool:
        return token.ends_at_ms - self._now_ms() > _MARGIN_MS

    def _keep(self, key: Key, task: asyncio.Task[InstallationToken]) -> None:
        del self._asked[key]
        if not task.cancelled() and task.exception() is None:
            self._kept = {other: token for other, token in self._kept.items() if self._is_good(token)}
            self._kept[key] = task.result()

    async def _ask(self, grant: Grant) -> InstallationToken:
        permissions = grant.scope.permissions
        _, _, name = grant.repository.partition("/")
        answer = await self._create(grant, {"repositories": [name], "permissions": permissions})
        if answer.status != HTTPStatus.CREATED or not _is_for(answer.body, grant.repository):
            wanted = {"repository_ids": [await self._find(grant)], "permissions": permissions}
            answer = await self._create(grant, wanted)
        if answer.status != HTTPStatus.CREATED:
            raise refusals.access_denied(grant)
        return self._read(grant.installation_id, answer.body)

    async def _find(self, grant: Grant) -> int:
        """Find the id of a repository that is not under its name in the installation: renamed, or of another owner.

        Asked with a token that reads no contents and never leaves here.
        """
        answer = await self._create(grant, {"permissions": {"metadata": "read"}})
        if answer.status != HTTPStatus.CREATED:
            raise refusals.access_denied(grant)
        scout = self._read(grant.installation_id, answer.body)
        answer = await self._client.send(Request("GET", f"/repos/{grant.repository}"), scout.credential)
        repository_id = find(answer.body, "id")
        if answer.status == HTTPStatus.OK and isinstance(repository_id, int):
            return repository_id
        if answer.status == HTTPStatus.NOT_FOUND:
            raise refusals.repository_not_found(grant.repository)
        raise refusals.not_yet()

    async def _create(self, grant: Grant, wanted: dict[str, Any]) -> Answer:
        """Ask for a token; the answer is 201, or 422 where the installation does not have such a repository."""
        app = self._app.credential(self._now_ms())
        path = f"/app/installations/{grant.installation_id}/access_tokens"
        answer = await self._client.send(Request("POST", path, wanted), app)
        match answer.status:
            case HTTPStatus.UNPROCESSABLE_ENTITY if _NOT_GRANTED in str(find(answer.body, "message")):
                raise refusals.not_granted(grant)
            case HTTPStatus.CREATED | HTTPStatus.UNPROCESSABLE_ENTITY:
                return answer
            case HTTPStatus.UNAUTHORIZED:
                raise refusals.auth_failed()
            case HTTPStatus.FORBIDDEN:
                raise refusals.access_denied(grant)
            case HTTPStatus.NOT_FOUND:
                raise await self._nothing_there(grant.repository)
        raise refusals.unexpected(answer.status)

    async def _nothing_there(self, repository: str) -> Exception:
        """Tell an installation that is gone from an App that never was: GitHub says 404 to both."""
        answer = await self._client.send(Request("GET", "/app"), self._app.credential(self._now_ms()))
        known = answer.status == HTTPStatus.OK
        return refusals.installation_gone(repository) if known else refusals.auth_failed()

    def _read(self, installation_id: int, body: Any) -> InstallationToken:
        value = text(body, "token")
        if not _TOKEN.fullmatch(value):
            raise refusals.unusable()
        return InstallationToken(value, installation_id, self._now_ms(), moment_ms(body, "expires_at"))


def _is_for(body: Any, repository: str) -> bool:
    """Tell whether a token is for that repository: GitHub was given a name without an owner."""
    repositories = find(body, "repositories")
    if not isinstance(repositories, list):
        return True
    return any(str(find(each, "full_name")).lower() == repository.lower() for each in repositories)
