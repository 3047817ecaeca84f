"""What our App wrote on GitHub, told from what others wrote: a text may be copied, an author may not."""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from service.github import refusals
from service.github.answers import find, text
from service.github.app import GitHubApp
from service.github.client import GitHubClient, Request


@dataclass(frozen=True)
class Author:
    """The bot of an App."""

    app_id: int
    login: str

    def wrote(self, item: Any, by: str) -> bool:
        """Tell whether it says so in its field `by`. What a person wrote through the App is not the bot's."""
        via_app: bool = find(item, "performed_via_github_app", "id") == self.app_id
        return find(item, by, "type") == "Bot" and (via_app or find(item, by, "login") == self.login)


class Ourselves:
    """Our App's bot, which GitHub is asked for once."""

    def __init__(self, client: GitHubClient, app: GitHubApp, now_ms: Callable[[], int]) -> None:
        self._client = client
        self._app = app
        self._now_ms = now_ms
        self._author: Author | None = None

    async def author(self) -> Author:
        """Return the bot. Raises FailedPrecondition where GitHub does not accept the App."""
        if self._author is None:
            self._author = Author(self._app.app_id, f"{await self._slug()}[bot]")
        return self._author

    async def _slug(self) -> str:
        answer = await self._client.send(Request("GET", "/app"), self._app.credential(self._now_ms()))
        match answer.status:
            case HTTPStatus.OK:
                return text(answer.body, "slug")
            case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN | HTTPStatus.NOT_FOUND:
                raise refusals.auth_failed()
        raise refusals.unexpected(answer.status)
