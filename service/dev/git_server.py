"""A git server of our own, for development and tests: git's own HTTP backend, behind a check of tokens."""

import asyncio
from base64 import b64decode
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from aiohttp import web

from service.dev.git_repository import GIT_ENVIRON, Files, GitRepository
from service.dev.programs import find_program

TOKEN_USER = "x-access-token"  # noqa: S105 - what GitHub calls who comes with a token

_LARGEST_BODY_BYTES = 2**26
_GRACE_S = 1.0
_CHALLENGE = {"WWW-Authenticate": 'Basic realm="git"'}

TokenCheck = Callable[[str, str], bool]


@dataclass(frozen=True)
class GitRequest:
    """One request that came, whatever the answer. `user` is empty where nobody said who asks."""

    repository: str
    path: str
    user: str
    has_token: bool


class GitServer:
    """Serves repositories, `<url>/<owner>/<name>.git` on a loopback port, for reading.

    Private ones are for who comes with a token that `allows(repository, token)`; all others get 401. A repository that
    is not there is 404 with a token and 401 without, as on GitHub, which tells nobody unknown what it has.

    The next `failures` requests are answered with 503; while `hang` was asked for, nobody is answered at all.
    """

    def __init__(self, folder: Path, allows: TokenCheck = lambda _repository, _token: False) -> None:
        """Raise ProgramMissing where there is no git."""
        self._git = find_program("git", "git")
        self._folder = folder.absolute()
        self.allows = allows
        self._private: set[str] = set()
        self._answering = asyncio.Event()
        self._answering.set()
        self._runner: web.AppRunner
        self.requests: list[GitRequest] = []
        self.failures = 0
        self.port = 0

    @property
    def url(self) -> str:
        """What `github.clone_url` takes."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=_LARGEST_BODY_BYTES)
        app.router.add_route("*", "/{owner}/{name}/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=_GRACE_S)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.resume()
        await self._runner.cleanup()

    async def create(self, repository: str, files: Files, *, private: bool = False) -> str:
        """Make a repository with a first commit on its branch main, and return the commit."""
        sha = await self.commit(repository, files)
        if private:
            self._private.add(repository)
        return sha

    async def commit(self, repository: str, files: Files, branch: str = "main") -> str:
        """Write files over those of a branch, which is made where it is not there, and return the commit."""
        return await self._repository(repository).commit(f"refs/heads/{branch}", files)

    async def pull_request(self, repository: str, number: int, files: Files) -> str:
        """Write files over those of branch main as the head of a pull request, anew at every call."""
        stored = self._repository(repository)
        return await stored.commit(f"refs/pull/{number}/head", files, await stored.find("refs/heads/main"))

    def hang(self) -> None:
        """Answer nobody any more, until `resume`."""
        self._answering.clear()

    def resume(self) -> None:
        self._answering.set()

    async def _answer(self, request: web.Request) -> web.Response:
        repository = f"{request.match_info['owner']}/{request.match_info['name'].removesuffix('.git')}"
        user, token = _login(request.headers.get("Authorization", ""))
        self.requests.append(GitRequest(repository, request.path, user, bool(token)))
        await self._answering.wait()
        if self.failures > 0:
            self.failures -= 1
            return web.Response(status=503, text="Service Unavailable")
        if not self._path(repository).exists():
            return web.Response(status=404, text="Not Found") if token else _unauthorized()
        if repository in self._private and not (user == TOKEN_USER and self.allows(repository, token)):
            return _unauthorized()
        return await self._run_backend(repository, request)

    async def _run_backend(self, repository: str, request: web.Request) -> web.Response:
        """Ask git-http-backend(1), which speaks CGI. Without a REMOTE_USER it takes no pushes."""
        body = await request.read()
        environ = GIT_ENVIRON | {
            "GIT_PROJECT_ROOT": str(self._folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
            "PATH_INFO": f"/{repository}.git/{request.match_info['path']}",
            "QUERY_STRING": request.rel_url.raw_query_string,
            "REQUEST_METHOD": request.method,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
        }
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            self._git, "http-backend", stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL, env=environ
        )
        output, _ = await process.communicate(body)
        return _parsed(output)

    def _repository(self, repository: str) -> GitRepository:
        return GitRepository(self._path(repository))

    def _path(self, repository: str) -> Path:
        return self._folder / f"{repository}.git"


def _login(authorization: str) -> tuple[str, str]:
    """Return user and password of basic authentication, both empty where there is none."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() == "basic":
        with suppress(ValueError):
            user, _, password = b64decode(encoded, validate=True).decode().partition(":")
            return user, password
    return "", ""


def _unauthorized() -> web.Response:
    return web.Response(status=401, headers=_CHALLENGE, text="Unauthorized")


def _parsed(output: bytes) -> web.Response:
    """Make an answer of what a CGI program wrote: headers, the status among them, and a body (RFC 3875)."""
    head, _, body = output.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
    status = headers.pop("Status", "200 OK")
    return web.Response(status=int(status.split()[0]), headers=headers, body=body)
