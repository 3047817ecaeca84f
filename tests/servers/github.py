"""A GitHub for tests: the parts of its REST API that the service uses, over HTTP, with its refusals.

async with FakeGitHub() as github:
    installation = github.install("acme")
    shop = github.add_repository("acme/shop", branches={"main": Head("4f..."), "next": Head("a1...")})
    number = shop.open_pull_request("next")
    GitHub(GitHubSettings(github.app.app_id, github.app.private_key_pem, github.url))
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, Self

from aiohttp import web

from service import clock
from tests.servers.github_answers import Refused, not_found
from tests.servers.github_comments import Comments
from tests.servers.github_contents import Contents
from tests.servers.github_deployments import Deployments
from tests.servers.github_directory import Directory
from tests.servers.github_door import Door, Moved
from tests.servers.github_faults import Faults
from tests.servers.github_pull_requests import PullRequests
from tests.servers.github_statuses import Statuses
from tests.servers.github_tokens import TokenDesk


@dataclass(frozen=True)
class Asked:
    """A request; `who` is `app`, `installation <id>`, `nobody`, or `stranger` for a token that is not accepted."""

    method: str
    path: str
    who: str
    body: Any
    headers: Mapping[str, str] = field(repr=False)
    query: Mapping[str, str] = field(default_factory=dict)


class FakeGitHub(Directory):
    """One GitHub with one App. `prefix` is that of GitHub Enterprise's API, `/api/v3`; `now_ms` its clock.

    It says what GitHub says:

    - 401 to a token or an assertion that it does not accept, and to nobody who wants to write
    - 404 for what may not be seen, 403 for what a token may see but has no permission for, or for a comment of others
    - 422 for a token that would reach too far, and for what is missing, too long or no address
    - 409 for a commit whose checks have not passed, unless `required_contexts` asks for none
    - 301, or 307 to anything but a GET, for what was renamed
    - lists in pages, whose `Link` headers name the repository by its id
    - 403 where `limits` are used up (by default 5,000 requests an hour, 60 without a token, and no secondary limit)

    `faults` makes it misbehave, and `requests` is what it was asked. Repositories hold what came of that: their
    `deployments`, `comments(number)` and `pull_request(number)`.
    """

    def __init__(self, prefix: str = "", now_ms: Callable[[], int] = clock.now_ms) -> None:
        super().__init__(now_ms)
        self.faults = Faults()
        self.requests: list[Asked] = []
        self._prefix = prefix
        self._door = Door(self, prefix)
        self._runner: web.AppRunner

    def asked(self, path: str, method: str = "") -> list[Asked]:
        """Return the requests whose path ends so, of one method or of all."""
        return [each for each in self.requests if each.path.endswith(path) and method in ("", each.method)]

    @property
    def url(self) -> str:
        """What `github.api_url` takes."""
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}{self._prefix}"

    @property
    def connections(self) -> int:
        """How many callers are connected; what one has asked who is gone has been heard, and may yet be done."""
        server = self._runner.server
        return sum(each.transport is not None for each in server.connections) if server else 0

    async def __aenter__(self) -> Self:
        routes = web.Application(middlewares=[self._gate], client_max_size=1 << 24)
        routes.add_routes(TokenDesk(self, self._door).routes(self._prefix))
        groups = (
            Contents(self._door),
            Deployments(self, self._door),
            Statuses(self, self._door),
            PullRequests(self._door),
            Comments(self, self._door),
        )
        for prefix in ("/repos/{owner}/{name}", r"/repositories/{id:\d+}"):
            for group in groups:
                routes.add_routes(group.routes(self._prefix + prefix))
        self._runner = web.AppRunner(routes, handle_signals=False)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.faults.leave()
        await self._runner.cleanup()

    @web.middleware
    async def _gate(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Write the request down, misbehave if that is planned, and let nobody in whom GitHub would not."""
        who, refusal = self._door.identify(request)
        path = request.rel_url.raw_path.removeprefix(self._prefix)
        self.requests.append(
            Asked(request.method, path, who, await _body(request), request.headers.copy(), dict(request.query))
        )

        async def truly() -> web.StreamResponse:
            try:
                _require_headers(request)
                if refusal is not None:
                    raise refusal
                self.limits.spend(who)
                response = await handler(request)
            except Refused as refused:
                response = refused.answer()
            except Moved as moved:
                status = 301 if request.method == "GET" else 307
                response = web.Response(status=status, headers={"Location": self._door.url(request) + moved.path})
            except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
                response = not_found().answer()
            response.headers.update(self.limits.headers(who))
            response.headers["Date"] = formatdate(self.now_ms() / 1000, usegmt=True)
            return response

        return await self.faults.answer(request, path, truly)


def _require_headers(request: web.Request) -> None:
    if "User-Agent" not in request.headers:
        raise Refused(403, "Request forbidden by administrative rules. Please make sure it has a User-Agent header")
    if request.headers.get("X-GitHub-Api-Version") != "2022-11-28":
        raise Refused(400, "This endpoint is not available in that version")


async def _body(request: web.Request) -> Any:
    try:
        return await request.json() if request.can_read_body else None
    except ValueError:
        return None
