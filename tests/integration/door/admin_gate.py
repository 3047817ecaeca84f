"""A gate before Restate's admin API, which has no authentication of its own: it wants a bearer token for everything."""

from typing import Self

import aiohttp
from aiohttp import web


class AdminGate:
    """Passes on what comes with the key. `passed` and `refused` count the requests."""

    def __init__(self, admin_url: str, key: str) -> None:
        self.passed = 0
        self.refused = 0
        self.url = ""
        self._behind = admin_url
        self._wanted = f"Bearer {key}"
        self._runner: web.AppRunner
        self._http: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._http = aiohttp.ClientSession()
        self._runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()
        await self._http.close()

    async def _answer(self, request: web.Request) -> web.Response:
        if request.headers.getall("Authorization", []) != [self._wanted]:
            self.refused += 1
            return web.Response(status=401, text="who are you?")
        self.passed += 1
        url, body = self._behind + request.raw_path, await request.read()
        headers = {"content-type": request.content_type, "accept": request.headers.get("Accept", "*/*")}
        async with self._http.request(request.method, url, data=body, headers=headers) as answer:
            return web.Response(status=answer.status, body=await answer.read(), content_type=answer.content_type)
