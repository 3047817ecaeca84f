"""A repository of a fake GitHub, its branches and its commits."""

from collections.abc import Iterable
from urllib.parse import quote

from aiohttp import web

from tests.servers.github_answers import Refused, not_found
from tests.servers.github_door import Door, Moved
from tests.servers.github_repository import described_commit


class Contents:
    """What is read of a repository's code."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def routes(self, prefix: str) -> Iterable[web.RouteDef]:
        yield web.get(prefix, self._repository)
        yield web.get(prefix + "/branches/{branch:.+}", self._branch)
        yield web.get(prefix + r"/git/ref/pull/{number:\d+}/head", self._reference)
        yield web.get(prefix + "/commits/{sha}", self._commit)

    async def _repository(self, request: web.Request) -> web.Response:
        return web.json_response(self._door.reads(request, "metadata").described())

    async def _branch(self, request: web.Request) -> web.Response:
        repository = self._door.reads(request, "contents")
        name = request.match_info["branch"]
        if name in repository.renamed:
            raise Moved(f"/repositories/{repository.repository_id}/branches/{quote(repository.renamed[name], safe='')}")
        if name not in repository.branches:
            raise Refused(404, "Branch not found")
        return web.json_response(repository.described_branch(name))

    async def _reference(self, request: web.Request) -> web.Response:
        number = int(request.match_info["number"])
        head = self._door.reads(request, "contents").pull_requests.get(number)
        if head is None:
            raise not_found()
        commit = {"type": "commit", "sha": head.sha, "url": ""}
        return web.json_response({"ref": f"refs/pull/{number}/head", "object": commit})

    async def _commit(self, request: web.Request) -> web.Response:
        sha = request.match_info["sha"]
        head = self._door.reads(request, "contents").commit(sha)
        if head is None:
            raise Refused(422, f"No commit found for SHA: {sha}")
        return web.json_response(described_commit(head))
