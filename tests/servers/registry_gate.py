"""A gate in front of a registry: it writes down what is asked, and can turn some of it away."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Self

import aiohttp
from aiohttp import web

_METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "PUT", "DELETE"})
_OF_THE_CONNECTION = frozenset({"Connection", "Content-Length", "Date", "Server", "Transfer-Encoding"})


@dataclass(frozen=True)
class RegistryRequest:
    """One request that came, and how it was answered."""

    method: str
    path: str
    status: int


class RegistryGate:
    """Passes requests on to the registry at `host`, under its own `host`, which images are named by.

    `refuse` turns requests away; `requests` are all that were answered, those that were turned away included.
    """

    def __init__(self, host: str) -> None:
        self._behind = host
        self._refused: frozenset[str] = frozenset()
        self._left = 0
        self._status = 0
        self._runner: web.AppRunner
        self._http: aiohttp.ClientSession
        self.host = ""
        self.requests: list[RegistryRequest] = []

    def refuse(self, status: int, times: int, methods: Collection[str] = _METHODS) -> None:
        """Answer the next `times` requests of these methods with a status, and those after them as always."""
        self._status, self._left, self._refused = status, times, frozenset(methods)

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._http = aiohttp.ClientSession(auto_decompress=False, timeout=aiohttp.ClientTimeout(total=60))
        self._runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.host = f"127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()
        await self._http.close()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if self._left > 0 and request.method in self._refused:
            self._left -= 1
            self._write_down(request, self._status)
            return web.Response(status=self._status, text="not now")
        return await self._pass(request)

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        """Hand on both bodies as they come, and the Host, of which the registry makes the addresses of uploads."""
        url = f"http://{self._behind}{request.raw_path}"
        body = request.content if request.can_read_body else None
        told = {name: value for name, value in request.headers.items() if name != "Transfer-Encoding"}
        try:
            async with self._http.request(
                request.method, url, data=body, headers=told, allow_redirects=False
            ) as answer:
                kept = {name: value for name, value in answer.headers.items() if name not in _OF_THE_CONNECTION}
                response = web.StreamResponse(status=answer.status, headers=kept)
                if request.method == "HEAD":  # the length is that of what a GET would bring
                    response.content_length = answer.content_length
                self._write_down(request, answer.status)
                await response.prepare(request)
                async for part in answer.content.iter_any():
                    await response.write(part)
                await response.write_eof()
                return response
        except aiohttp.ClientConnectionError:
            self._write_down(request, web.HTTPBadGateway.status_code)
            return web.Response(status=web.HTTPBadGateway.status_code, text="gone")

    def _write_down(self, request: web.Request, status: int) -> None:
        self.requests.append(RegistryRequest(request.method, request.path, status))
