"""A server that refuses whatever is asked, and says back all that it was told: the worst that a vendor may do."""

import json
from typing import Self

from aiohttp import web


class Mirror:
    """Answers `status` to everything, with headers and body of the request in JSON.

    `credentials` are what the requests came with, without their scheme.
    """

    def __init__(self, status: int) -> None:
        self.credentials: set[str] = set()
        self.host = ""
        self._status = status
        self._runner: web.AppRunner

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.host = f"127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        shown = request.headers.get("Authorization", "")
        if shown:
            self.credentials.add(shown.partition(" ")[2])
        heard = f"{shown} {request.method} {request.path_qs} {dict(request.headers)} {await request.text()}"
        answer = json.dumps({"message": heard, "code": "permission_denied"})
        return web.Response(status=self._status, text=answer, content_type="application/json")
