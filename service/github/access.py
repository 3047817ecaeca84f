"""How one process asks its GitHub of repositories: with a token of their installation, and again with a fresh one."""

from collections.abc import Collection
from http import HTTPStatus
from typing import Any

from service.github import refusals
from service.github.answers import Answer, find
from service.github.client import NOBODY, GitHubClient, Request
from service.github.scopes import Grant, Scope
from service.github.tokens import InstallationToken, InstallationTokens


class Access:
    """A client and the App's tokens, without an App None. May let public repositories be read without a token."""

    def __init__(self, client: GitHubClient, tokens: InstallationTokens | None, *, allow_unauthenticated: bool) -> None:
        self._client = client
        self._tokens = tokens
        self._allow_unauthenticated = allow_unauthenticated

    async def close(self) -> None:
        if self._tokens is not None:
            await self._tokens.close()
        await self._client.close()

    async def token(self, grant: Grant) -> InstallationToken | None:
        """Return a token wherever there can be one, None where the configuration allows to go without."""
        if self._tokens is not None and grant.installation_id:
            return await self._tokens.get(grant)
        if self._allow_unauthenticated and grant.scope is Scope.CONTENTS:
            return None
        raise refusals.installation_missing(grant.repository) if self._tokens else refusals.not_configured()

    def forget(self, token: str) -> None:
        """Drop a token that was found wrong."""
        if self._tokens is not None:
            self._tokens.forget(token)

    async def ask(self, request: Request, grant: Grant, expected: Collection[int]) -> Answer:
        """Return an answer with one of the statuses that are expected.

        Raises Transient where GitHub may not know the token yet, and what any other refusal means to people.
        """
        token = await self.token(grant)
        answer = await self._send(request, token)
        if answer.status == HTTPStatus.UNAUTHORIZED and token is not None and not self._is_new(token):
            self.forget(token.value)
            token = await self.token(grant)
            answer = await self._send(request, token)
        match answer.status:
            case status if status in expected:
                return answer
            case HTTPStatus.UNAUTHORIZED:
                raise refusals.not_yet() if token else refusals.installation_missing(grant.repository)
            case HTTPStatus.FORBIDDEN | HTTPStatus.UNAVAILABLE_FOR_LEGAL_REASONS:
                closed = refusals.closed(grant.repository, find(answer.body, "message"))
                raise closed or (refusals.not_yet() if self._is_new(token) else refusals.access_denied(grant))
        raise refusals.unexpected(answer.status)

    async def look(self, grant: Grant) -> Any:
        """Return what GitHub tells of the repository. Raises what is wrong with it, if something is."""
        found = (HTTPStatus.OK, HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY)
        answer = await self.ask(Request("GET", f"/repos/{grant.repository}"), grant, found)
        if answer.status == HTTPStatus.OK:
            return answer.body
        token = await self.token(grant)
        raise refusals.not_yet() if self._is_new(token) else refusals.repository_not_found(grant.repository)

    async def _send(self, request: Request, token: InstallationToken | None) -> Answer:
        return await self._client.send(request, token.credential if token else NOBODY)

    def _is_new(self, token: InstallationToken | None) -> bool:
        return token is not None and self._tokens is not None and self._tokens.is_new(token)
