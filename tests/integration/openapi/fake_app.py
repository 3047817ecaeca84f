"""An app that publishes something: a server on this machine, plain or with a certificate, that keeps what it is asked.

async with FakeApp() as app:
    app.answers["/openapi.json"] = web.Response(body=b"{}")
    ... app.url, app.asked
"""

import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Self

from aiohttp import web

from service.dev.ports import free_port

Answer = web.Response | Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Asked:
    """A request, as it was on the wire."""

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)


class FakeApp:
    """Listens at `host`. What it has no answer for is 404."""

    def __init__(self, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", port: int = 0) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[Asked] = []
        self.names: list[str | None] = []
        self.host = host
        self.port = port or free_port()
        self._tls = tls
        if tls is not None:
            tls.sni_callback = lambda _, name, __: self.names.append(name)
        self._runner: web.AppRunner

    @property
    def url(self) -> str:
        return self.at(self.host)

    def at(self, host: str) -> str:
        """Return the URL under which the app is known by another name."""
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}"

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.host, self.port, ssl_context=self._tls).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(Asked(request.method, request.raw_path, request.headers.copy()))
        answer = self.answers.get(request.raw_path)
        if answer is None:
            return web.Response(status=404)
        return await answer(request) if callable(answer) else _again(answer)


def _again(response: web.Response) -> web.Response:
    """Copy a response: each can be sent once."""
    return web.Response(status=response.status, headers=response.headers, body=response.body)
