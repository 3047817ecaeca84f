"""Our comment on a pull request: found among those of others, and written.

To GitHub a pull request is an issue: https://docs.github.com/en/rest/issues/comments
"""

from http import HTTPStatus
from typing import Any

from service.github import refusals
from service.github.access import Access
from service.github.answers import Answer, find, number, text
from service.github.client import Request
from service.github.identity import Author, Ourselves
from service.github.listings import Listing, search
from service.github.reports import Comment, Site
from service.github.scopes import Grant, Scope

# A comment has up to 65,536 characters, each of up to 6 bytes in JSON. Anybody may write such ones, to hide ours from
# us, so that a page is no longer than the answer that is taken. A pull request has at most 2,500 comments.
_PER_PAGE = 30
_MOST_PAGES = 100

_GONE = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)


class Comments:
    """The comments of pull requests."""

    def __init__(self, access: Access, ourselves: Ourselves) -> None:
        self._access = access
        self._ourselves = ourselves

    async def find(self, site: Site, pull_request: int, marker: str, known_id: int) -> Comment | None:
        """Find our App's oldest comment that holds the marker; `known_id` (0 for none) is looked at first."""
        author = await self._ourselves.author()
        known = await self._known(site, pull_request, known_id) if known_id else None
        if _is_ours(known, author, marker):
            return _read(known)
        all_of_it = Listing(
            f"/repos/{site.repository}/issues/{pull_request}/comments",
            absent=refusals.pull_request_not_found(site.repository, pull_request),
            per_page=_PER_PAGE,
            most_pages=_MOST_PAGES,
        )
        # The oldest come first, so that the first page with one of ours has the oldest of ours.
        found = await search(self._access, _grant(site), all_of_it, lambda each: _is_ours(each, author, marker))
        return _read(min(found, key=lambda each: number(each, "id"))) if found else None

    async def write(self, site: Site, pull_request: int, comment_id: int, body: str) -> int:
        """Replace a comment's text, or write a new comment for an id of 0 or one that is gone; return its id."""
        if comment_id:
            answer = await self._put(site, pull_request, _edit(site, comment_id, body))
            if answer.status == HTTPStatus.OK:
                return comment_id
            await self._access.look(_grant(site))
        create = Request("POST", f"/repos/{site.repository}/issues/{pull_request}/comments", {"body": body})
        answer = await self._put(site, pull_request, create)
        if answer.status in _GONE:
            await self._access.look(_grant(site))
            raise refusals.pull_request_not_found(site.repository, pull_request)
        return number(answer.body, "id")

    async def _known(self, site: Site, pull_request: int, comment_id: int) -> Any:
        """Return a comment, None where it is gone or another pull request's."""
        path = f"/repos/{site.repository}/issues/comments/{comment_id}"
        answer = await self._access.ask(Request("GET", path), _grant(site), (HTTPStatus.OK, *_GONE))
        is_of_it = str(find(answer.body, "issue_url")).endswith(f"/issues/{pull_request}")
        return answer.body if answer.status == HTTPStatus.OK and is_of_it else None

    async def _put(self, site: Site, pull_request: int, request: Request) -> Answer:
        expected = (HTTPStatus.OK, HTTPStatus.CREATED, *_GONE, HTTPStatus.UNPROCESSABLE_ENTITY)
        answer = await self._access.ask(request, _grant(site), expected)
        if answer.status == HTTPStatus.UNPROCESSABLE_ENTITY:
            raise refusals.comment_refused(site.repository, pull_request)
        return answer


def _grant(site: Site) -> Grant:
    return Grant(site.installation_id, site.repository, Scope.PULL_REQUESTS)


def _edit(site: Site, comment_id: int, body: str) -> Request:
    return Request("PATCH", f"/repos/{site.repository}/issues/comments/{comment_id}", {"body": body})


def _is_ours(comment: Any, author: Author, marker: str) -> bool:
    body = find(comment, "body")
    return author.wrote(comment, "user") and isinstance(body, str) and marker in body


def _read(comment: Any) -> Comment:
    return Comment(number(comment, "id"), text(comment, "body"))
