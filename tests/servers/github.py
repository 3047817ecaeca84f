"""A GitHub for tests: the parts of its REST API that the service uses, over HTTP, with its refusals.

    async with FakeGitHub() as github:
        installation = github.install("acme")
        github.add_repository("acme/shop", branches={"main": Head("4f..."), "next": Head("a1...")})
        GitHub(GitHubSettings(github.app.app_id, github.app.private_key_pem, github.url))

It says what GitHub says: 404 for what may not be seen, 401 for a token or an assertion it does not accept, 422 for a
token that would reach too far, 301 for what was renamed. `github.faults` makes it misbehave; `github.requests` is what
it was asked.
"""

import json
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any, Self
from urllib.parse import quote

from aiohttp import web

from service import clock
from tests.servers.github_app import App, Installation, Token, Tokens
from tests.servers.github_faults import Faults
from tests.servers.github_repository import Head, Repository, described_commit


@dataclass(frozen=True)
class Asked:
    """A request; `who` is `app`, `installation <id>`, `nobody`, or `stranger` for a token that is not accepted."""

    method: str
    path: str
    who: str
    body: Any
    headers: Mapping[str, str] = field(repr=False)


class FakeGitHub:
    """One GitHub with one App. `prefix` is that of GitHub Enterprise's API, `/api/v3`; `now_ms` its clock."""

    def __init__(self, prefix: str = "", now_ms: Callable[[], int] = clock.now_ms) -> None:
        self.app = App.create()
        self.tokens = Tokens(now_ms)
        self.faults = Faults()
        self.requests: list[Asked] = []
        self.installations: dict[int, Installation] = {}
        self.repositories: dict[int, Repository] = {}
        self._moved: dict[str, Repository] = {}
        self._prefix = prefix
        self._now_ms = now_ms
        self._ids = count(1001)
        self._runner: web.AppRunner

    def install(self, owner: str, only: Iterable[str] | None = None) -> int:
        """Install the App on an account, for all of its repositories or for some; return the installation's id."""
        installation = Installation(next(self._ids), owner, None if only is None else set(only))
        self.installations[installation.installation_id] = installation
        return installation.installation_id

    def add_repository(
        self, full_name: str, *, private: bool = True, branches: Mapping[str, Head] | None = None
    ) -> Repository:
        repository = Repository(next(self._ids), full_name, private, dict(branches or {}))
        self.repositories[repository.repository_id] = repository
        return repository

    def repository(self, full_name: str) -> Repository:
        """Return a repository, to be changed."""
        return next(found for found in self.repositories.values() if found.full_name == full_name)

    def rename(self, repository: Repository, full_name: str) -> None:
        """Rename it; its old name redirects."""
        self._moved[repository.full_name] = repository
        repository.full_name = full_name

    def valid_token(self, token: str, repository: str) -> bool:
        """Tell whether a token may read the contents of a repository now: what git is asked with."""
        found = self._named(repository)
        return found is not None and self._reads(self.tokens.find(token), found, "contents")

    def asked(self, path: str) -> list[Asked]:
        """Return the requests whose path ends so."""
        return [asked for asked in self.requests if asked.path.endswith(path)]

    @property
    def url(self) -> str:
        """What `github.api_url` takes."""
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}{self._prefix}"

    async def __aenter__(self) -> Self:
        routes = web.Application(middlewares=[self._gate])
        for prefix in ("/repos/{owner}/{name}", r"/repositories/{id:\d+}"):
            routes.router.add_get(self._prefix + prefix, self._get_repository)
            routes.router.add_get(self._prefix + prefix + "/branches/{branch:.+}", self._get_branch)
            routes.router.add_get(self._prefix + prefix + r"/git/ref/pull/{number:\d+}/head", self._get_pull_request)
            routes.router.add_get(self._prefix + prefix + "/commits/{sha}", self._get_commit)
        routes.router.add_get(self._prefix + "/app", self._get_app)
        routes.router.add_post(self._prefix + r"/app/installations/{id:\d+}/access_tokens", self._create_token)
        self._runner = web.AppRunner(routes, handle_signals=False)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.faults.leave()
        await self._runner.cleanup()

    @web.middleware
    async def _gate(self, request: web.Request, handler: Callable[..., Any]) -> web.StreamResponse:
        """Write the request down, misbehave if that is planned, and let nobody in whom GitHub would not."""
        body = await request.json() if request.can_read_body else None
        who, refusal = self._identify(_bearer(request))
        path = request.rel_url.raw_path.removeprefix(self._prefix)
        self.requests.append(Asked(request.method, path, who, body, request.headers.copy()))
        if (fault := await self.faults.commit(request, path)) is not None:
            return fault
        if "User-Agent" not in request.headers:
            return _says(403, "Request forbidden by administrative rules. Please make sure it has a User-Agent header")
        if request.headers.get("X-GitHub-Api-Version") != "2022-11-28":
            return _says(400, "This endpoint is not available in that version")
        if refusal is not None:
            return _says(*refusal)
        try:
            response: web.StreamResponse = await handler(request)
        except web.HTTPNotFound:
            return _says(404, "Not Found")
        return response

    def _identify(self, bearer: str) -> tuple[str, tuple[int, str] | None]:
        """Tell who asks, and how to refuse whom nobody knows."""
        if not bearer:
            return "nobody", None
        if bearer.startswith("ghs_"):
            token = self.tokens.find(bearer)
            return (f"installation {token.installation.installation_id}", None) if token else _STRANGER
        refusal = self.app.refusal(bearer, self._now_ms())
        return ("stranger", refusal) if refusal else ("app", None)

    async def _get_app(self, request: web.Request) -> web.Response:
        self._require_app(request)
        return web.json_response({"id": self.app.app_id, "slug": "hydra"})

    async def _create_token(self, request: web.Request) -> web.Response:
        self._require_app(request)
        installation = self.installations.get(int(request.match_info["id"]))
        if installation is None:
            return _says(404, "Not Found")
        if installation.suspended:
            return _says(403, "This installation has been suspended")
        wanted = await request.json() if request.body_exists else {}
        covered = [each for each in self.repositories.values() if installation.covers(each.full_name)]
        names, ids = wanted.get("repositories", []), wanted.get("repository_ids", [])
        chosen = [each for each in covered if each.name in names or each.repository_id in ids]
        if len(chosen) != len(names) + len(ids):
            return _says(
                422,
                "There is at least one repository that does not exist or is not accessible to the parent installation",
            )
        permissions = wanted.get("permissions", installation.permissions)
        if any(installation.permissions.get(name) not in (level, "write") for name, level in permissions.items()):
            return _says(422, "The permissions requested are not granted to this installation.")
        return self._give(installation, {"metadata": "read", **permissions}, chosen)

    def _give(self, installation: Installation, permissions: dict[str, str], chosen: list[Repository]) -> web.Response:
        # As long as the tokens that GitHub has begun to give in 2026: nobody may count on 40 characters.
        value = f"ghs_{self.app.app_id}_{secrets.token_urlsafe(360)}"
        ends_at_ms = self._now_ms() + self.tokens.lifetime_ms
        ids = frozenset(each.repository_id for each in chosen) or None
        self.tokens.given[value] = Token(installation, permissions, ids, ends_at_ms)
        answer: dict[str, Any] = {"token": value, "expires_at": _iso(ends_at_ms), "permissions": permissions}
        if chosen:
            answer["repositories"] = [each.described() for each in chosen]
        return web.json_response(answer, status=201)

    async def _get_repository(self, request: web.Request) -> web.Response:
        return web.json_response(self._visible(request).described())

    async def _get_branch(self, request: web.Request) -> web.Response:
        repository = self._visible(request)
        name = request.match_info["branch"]
        if name in repository.renamed:
            raise self._moves(
                f"/repositories/{repository.repository_id}/branches/{quote(repository.renamed[name], safe='')}"
            )
        if name not in repository.branches:
            return _says(404, "Branch not found")
        return web.json_response(repository.described_branch(name))

    async def _get_pull_request(self, request: web.Request) -> web.Response:
        number = int(request.match_info["number"])
        head = self._visible(request).pull_requests.get(number)
        if head is None:
            return _says(404, "Not Found")
        return web.json_response(
            {"ref": f"refs/pull/{number}/head", "object": {"type": "commit", "sha": head.sha, "url": ""}}
        )

    async def _get_commit(self, request: web.Request) -> web.Response:
        sha = request.match_info["sha"]
        head = self._visible(request).commit(sha)
        return web.json_response(described_commit(head)) if head else _says(422, f"No commit found for SHA: {sha}")

    def _visible(self, request: web.Request) -> Repository:
        """Find the repository of a request, if whoever asks may see it; what may not be seen is not there."""
        found = request.match_info
        if "id" in found:
            repository = self.repositories.get(int(found["id"]))
        else:
            repository = self._named(f"{found['owner']}/{found['name']}")
        if repository is None or not self._sees(_bearer(request), repository):
            raise web.HTTPNotFound
        if "id" not in found and repository.full_name.lower() != f"{found['owner']}/{found['name']}".lower():
            _, _, rest = request.rel_url.raw_path.partition(f"/repos/{found['owner']}/{found['name']}")
            raise self._moves(f"/repositories/{repository.repository_id}{rest}")
        return repository

    def _sees(self, bearer: str, repository: Repository) -> bool:
        return not repository.private or self._reads(self.tokens.find(bearer), repository, "metadata")

    def _reads(self, token: Token | None, repository: Repository, permission: str) -> bool:
        if token is None or permission not in token.permissions:
            return False
        chosen = token.repository_ids is None or repository.repository_id in token.repository_ids
        return chosen and token.installation.covers(repository.full_name)

    def _named(self, full_name: str) -> Repository | None:
        for repository in self.repositories.values():
            if repository.full_name.lower() == full_name.lower():
                return repository
        return self._moved.get(full_name)

    def _moves(self, path: str) -> web.HTTPMovedPermanently:
        return web.HTTPMovedPermanently(self.url + path)

    def _require_app(self, request: web.Request) -> None:
        if self._identify(_bearer(request))[0] != "app":
            raise web.HTTPUnauthorized(text=json.dumps({"message": "A JSON web token could not be decoded"}))


_STRANGER = ("stranger", (401, "Bad credentials"))


def _bearer(request: web.Request) -> str:
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    return value if scheme.lower() in ("bearer", "token") else ""


def _says(status: int, message: str) -> web.Response:
    body = {"message": message, "documentation_url": "https://docs.github.com/rest", "status": str(status)}
    return web.json_response(body, status=status)


def _iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms // 1000, UTC).isoformat().replace("+00:00", "Z")
