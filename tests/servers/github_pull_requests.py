"""The pull requests of a fake GitHub.

https://docs.github.com/en/rest/pulls/pulls
"""

from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp import web

from tests.servers.github_answers import invalid, not_found, page
from tests.servers.github_door import Door
from tests.servers.github_records import PullRequest
from tests.servers.github_repository import Repository

_STATES = ("open", "closed", "all")


class PullRequests:
    """`/pulls`, which is read only."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def routes(self, prefix: str) -> Iterable[web.RouteDef]:
        yield web.get(f"{prefix}/pulls", self._list)
        yield web.get(prefix + r"/pulls/{number:\d+}", self._get)

    async def _list(self, request: web.Request) -> web.Response:
        repository = self._door.reads(request, "pull_requests")
        query = request.query
        state, order = query.get("state", "open"), query.get("sort", "created")
        if state not in _STATES:
            raise invalid("PullRequest", "state", f"state must be one of {', '.join(_STATES)}", "invalid")
        found = [each for each in _all(repository) if state in (each.state, "all") and _is_from(each, query)]
        found.sort(key=lambda each: (each.updated_at if order == "updated" else each.created_at, each.number))
        if query.get("direction", "desc" if order == "created" else "asc") == "desc":
            found.reverse()
        rows = [_described(each, repository) for each in found]
        return page(request, rows, self._door.address(request, repository))

    async def _get(self, request: web.Request) -> web.Response:
        repository = self._door.reads(request, "pull_requests")
        found = repository.pull_request(int(request.match_info["number"]))
        if found is None:
            raise not_found()
        return web.json_response(_described(found, repository))


def _all(repository: Repository) -> list[PullRequest]:
    return [found for number in repository.pull_requests if (found := repository.pull_request(number))]


def _is_from(found: PullRequest, query: Mapping[str, str]) -> bool:
    """Tell whether it is from the `head` asked for. GitHub passes over one that names no owner, and all fit it."""
    owner, colon, branch = query.get("head", "").partition(":")
    from_head = not colon or (found.by.partition("/")[0].lower() == owner.lower() and found.branch == branch)
    return from_head and query.get("base", found.base) == found.base


def _described(found: PullRequest, repository: Repository) -> dict[str, Any]:
    by = found.by.partition("/")[0] or "ghost"
    is_own = found.by.lower() == repository.full_name.lower()
    head_repository = {"name": found.by.partition("/")[2], "full_name": found.by, "fork": not is_own}
    return {
        "id": found.pull_request_id,
        "number": found.number,
        "state": found.state,
        "locked": found.is_locked,
        "draft": False,
        "html_url": f"https://github.com/{repository.full_name}/pull/{found.number}",
        "head": {
            "label": f"{by}:{found.branch}",
            "ref": found.branch,
            "sha": repository.pull_requests[found.number].sha,
            "user": {"login": by},
            "repo": (repository.described() if is_own else head_repository) if found.by else None,
        },
        "base": {"label": f"{repository.owner}:{found.base}", "ref": found.base, "repo": repository.described()},
        "created_at": found.created_at,
        "updated_at": found.updated_at,
    }
