"""The comments on a fake GitHub's pull requests, which are those of issues to its API.

https://docs.github.com/en/rest/issues/comments
"""

from collections.abc import Iterable
from typing import Any

from aiohttp import web

from tests.servers.github_answers import Refused, invalid, missing, not_accessible, not_found, page, said
from tests.servers.github_directory import Directory
from tests.servers.github_door import Door
from tests.servers.github_records import Comment
from tests.servers.github_repository import Repository

# Either will do for a comment on a pull request.
_EITHER = ("issues", "pull_requests")
_LONGEST = 65_536


class Comments:
    """`/issues/{number}/comments`, and each by itself. Only the App that wrote a comment may change it."""

    def __init__(self, directory: Directory, door: Door) -> None:
        self._directory = directory
        self._door = door

    def routes(self, prefix: str) -> Iterable[web.RouteDef]:
        for_one, for_all = prefix + r"/issues/comments/{comment:\d+}", prefix + r"/issues/{number:\d+}/comments"
        yield web.get(for_all, self._list)
        yield web.post(for_all, self._create)
        yield web.get(for_one, self._get)
        yield web.patch(for_one, self._change)
        yield web.delete(for_one, self._delete)

    async def _list(self, request: web.Request) -> web.Response:
        repository = self._door.reads(request, *_EITHER)
        number = int(request.match_info["number"])
        if repository.pull_request(number) is None:
            raise not_found()
        rows = [self._described(request, repository, each) for each in repository.comments(number)]
        return page(request, rows, self._door.address(request, repository))

    async def _create(self, request: web.Request) -> web.Response:
        repository = self._door.creates(request, *_EITHER)
        number = int(request.match_info["number"])
        pull_request = repository.pull_request(number)
        if pull_request is None:
            raise not_found()
        body = _text(await said(request))
        if pull_request.is_locked:
            raise Refused(403, "Unable to create comment because issue is locked.")
        comment = repository.add_comment(number, body, self._directory.bot())
        return web.json_response(self._described(request, repository, comment), status=201)

    async def _get(self, request: web.Request) -> web.Response:
        repository = self._door.reads(request, *_EITHER)
        return web.json_response(self._described(request, repository, _find(request, repository)))

    async def _change(self, request: web.Request) -> web.Response:
        repository = self._door.writes(request, *_EITHER)
        comment = self._own(_find(request, repository))
        comment.body = _text(await said(request))
        comment.updated_at = repository.stamps.now()
        return web.json_response(self._described(request, repository, comment))

    async def _delete(self, request: web.Request) -> web.Response:
        repository = self._door.writes(request, *_EITHER)
        del repository.all_comments[self._own(_find(request, repository)).comment_id]
        return web.Response(status=204)

    def _own(self, comment: Comment) -> Comment:
        if comment.author.app_id != self._directory.app.app_id:
            raise not_accessible()
        return comment

    def _described(self, request: web.Request, repository: Repository, comment: Comment) -> dict[str, Any]:
        api = f"{self._door.url(request)}/repos/{repository.full_name}/issues"
        page_url = f"https://github.com/{repository.full_name}/pull/{comment.number}"
        return {
            "id": comment.comment_id,
            "url": f"{api}/comments/{comment.comment_id}",
            "html_url": f"{page_url}#issuecomment-{comment.comment_id}",
            "issue_url": f"{api}/{comment.number}",
            "created_at": comment.created_at,
            "updated_at": comment.updated_at,
            "body": comment.body,
            **self._directory.signed(comment.author),
        }


def _find(request: web.Request, repository: Repository) -> Comment:
    found = repository.all_comments.get(int(request.match_info["comment"]))
    if found is None:
        raise not_found()
    return found


def _text(body: dict[str, Any]) -> str:
    text = body.get("body")
    if not isinstance(text, str):
        raise missing("body")
    if not text.strip():
        raise invalid("IssueComment", "data", "Body cannot be blank", "unprocessable")
    if len(text) > _LONGEST:
        raise invalid("IssueComment", "data", f"Body is too long (maximum is {_LONGEST} characters)", "unprocessable")
    return text
