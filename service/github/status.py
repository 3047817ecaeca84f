"""How GitHub takes our App, or nobody: for who looks after an installation."""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from service import clock
from service.github.answers import Answer, find
from service.github.app import GitHubApp
from service.github.client import NOBODY, GitHubClient, Request
from service.github.repositories import GitHubSettings


@dataclass(frozen=True)
class Standing:
    """What GitHub answered: `app` is the App's name, empty where it is refused or there is none.

    Of requests `left` in this hour out of `limit`, -1 is for not told; `date` is its clock, as HTTP writes it.
    """

    app: str
    limit: int
    left: int
    date: str


async def standing(settings: GitHubSettings, now_ms: Callable[[], int] = clock.now_ms) -> Standing:
    """Ask as the App, or as nobody where there is none.

    Raises Transient where GitHub does not answer, or asks for patience, and FailedPrecondition for a key that is none.
    """
    app = GitHubApp(settings.app_id, settings.private_key_pem) if settings.app_id else None
    client = GitHubClient(settings.api_url, settings.timeout, now_ms)
    try:
        if app is None:
            answer = await client.send(Request("GET", "/rate_limit"), NOBODY)
        else:
            answer = await client.send(Request("GET", "/app"), app.credential(now_ms()))
    finally:
        await client.close()
    return _read(answer, is_app=app is not None)


def _read(answer: Answer, *, is_app: bool) -> Standing:
    accepted = is_app and answer.status == HTTPStatus.OK
    slug = find(answer.body, "slug") if accepted else ""
    return Standing(
        app=slug if isinstance(slug, str) else "",
        limit=_number(answer, "x-ratelimit-limit"),
        left=_number(answer, "x-ratelimit-remaining"),
        date=answer.headers.get("date", ""),
    )


def _number(answer: Answer, header: str) -> int:
    text = answer.headers.get(header, "")
    return int(text) if text.isascii() and text.isdecimal() else -1
