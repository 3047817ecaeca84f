"""A gate in front of a ClickHouse server: it counts the questions, and can keep some or all of them out."""

from typing import Self

import aiohttp
from aiohttp import web
from yarl import URL

from service.dev.clickhouse import ClickHouseServer

_OF_THE_CONNECTION = frozenset(
    {"Connection", "Content-Encoding", "Content-Length", "Date", "Server", "Transfer-Encoding"}
)
_OF_THE_REQUEST = frozenset({"Host", "Content-Length", "Transfer-Encoding"})


class ClickHouseGate:
    """Passes requests on to the server. `shut` answers nobody, `refuse` those whose question holds a text.

    `asked` counts the questions about requests that came, those that were kept out included.
    """

    def __init__(self, server: ClickHouseServer) -> None:
        self.asked = 0
        self.shut = False
        self.refuse: bytes | None = None
        self._server = server
        self._runner: web.AppRunner
        self._http: aiohttp.ClientSession
        self._port = 0

    @property
    def url(self) -> str:
        """What `clickhouse.url` takes; it holds the password."""
        return str(URL(self._server.url).with_port(self._port))

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=2**28)
        app.router.add_route("*", "/{path:.*}", self._pass)
        self._http = aiohttp.ClientSession(auto_decompress=False)
        self._runner = web.AppRunner(app, handle_signals=False)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()
        await self._runner.cleanup()

    async def _pass(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.asked += b"sentinel_requests_raw_v1" in body + request.query_string.encode()
        if self.shut or (self.refuse is not None and self.refuse in body):
            return web.Response(status=503, text="not now")
        url = URL(f"http://127.0.0.1:{self._server.port}").join(request.rel_url)
        headers = {name: value for name, value in request.headers.items() if name not in _OF_THE_REQUEST}
        try:
            async with self._http.request(request.method, url, data=body, headers=headers) as answer:
                kept = {name: value for name, value in answer.headers.items() if name not in _OF_THE_CONNECTION}
                return web.Response(status=answer.status, body=await answer.read(), headers=kept)
        except aiohttp.ClientError:
            return web.Response(status=502, text="gone")
