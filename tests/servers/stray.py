"""What may answer in place of the server that was meant: a proxy, a page to log in at, another program."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

Answer = Callable[[web.Request], Awaitable[web.Response]]


@asynccontextmanager
async def stray(answer: Answer) -> AsyncIterator[str]:
    """Answer every request so; gives the address."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def saying(status: int, body: str) -> AsyncIterator[str]:
    """Answer every request with the same."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text=body)

    async with stray(answer) as url:
        yield url
