"""How long an app may take, and how much it may send."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from aiohttp import web

from service.errors import FailedPrecondition, Transient
from service.openapi.addresses import Address
from service.openapi.fetch import FetchOptions, Page
from tests.integration.openapi.expected import HERE, Opened, failure
from tests.integration.openapi.fake_app import FakeApp

SOON = timedelta(milliseconds=300)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def test_the_bounds_are_those_of_the_specification() -> None:
    assert (FetchOptions().timeout, FetchOptions().max_bytes) == (timedelta(seconds=10), 5 * 1024 * 1024)
    assert FetchOptions().allowed_networks == ()


async def silence(request: web.Request) -> web.StreamResponse:
    await gone(request)
    return web.Response()


async def half(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "100"})
    await response.prepare(request)
    await response.write(b"{")
    await gone(request)
    return response


async def trickle(request: web.Request) -> web.StreamResponse:
    """Send a byte now and then, so that no single read takes long."""
    response = web.StreamResponse()
    await response.prepare(request)
    while not lost(request):
        await response.write(b" ")
        await asyncio.sleep(0.01)
    return response


async def circles(_: web.Request) -> web.StreamResponse:
    """Redirect to the same place, slowly."""
    await asyncio.sleep(0.1)
    return web.Response(status=302, headers={"Location": "/openapi.json"})


def lost(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


async def gone(request: web.Request) -> None:
    while not lost(request):
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("slow", [silence, half, trickle, circles])
async def test_all_of_a_request_has_one_deadline(app: FakeApp, opened: Opened, slow: Handler) -> None:
    app.answers["/openapi.json"] = slow

    error = await failure(opened(replace(HERE, timeout=SOON)), Page(f"{app.url}/openapi.json"))

    assert (type(error), error.reason) == (Transient, "OPENAPI_UNAVAILABLE")
    assert error.message == "the app did not send its OpenAPI document in time"


async def test_a_name_is_not_looked_up_for_longer_either(opened: Opened) -> None:
    async def resolve(_: str) -> Sequence[Address]:
        await asyncio.Event().wait()
        return ()

    error = await failure(opened(replace(HERE, timeout=SOON), resolve), Page("https://app.test/openapi.json"))

    assert error.message == "the app did not send its OpenAPI document in time"


async def test_an_endless_document_is_left_where_it_is_too_large(app: FakeApp, opened: Opened) -> None:
    sent = 0
    ended = asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b" " * 1024)
                sent += 1024
        finally:
            ended.set()

    app.answers["/openapi.json"] = endless

    error = await failure(opened(replace(HERE, max_bytes=100_000)), Page(f"{app.url}/openapi.json"))

    assert (type(error), error.reason) == (FailedPrecondition, "OPENAPI_TOO_LARGE")
    assert "100,000 bytes" in error.message
    await ended.wait()
    assert sent < 50_000_000  # what fits in the buffers between


@pytest.mark.parametrize("size", [0, 1, 99_999, 100_000])
async def test_a_document_may_have_as_many_bytes_as_that(app: FakeApp, opened: Opened, size: int) -> None:
    app.answers["/openapi.json"] = web.Response(body=b"x" * size)

    assert await opened(replace(HERE, max_bytes=100_000)).fetch(Page(f"{app.url}/openapi.json")) == b"x" * size


async def test_a_document_may_have_no_more(app: FakeApp, opened: Opened) -> None:
    app.answers["/openapi.json"] = web.Response(body=b"x" * 100_001)

    error = await failure(opened(replace(HERE, max_bytes=100_000)), Page(f"{app.url}/openapi.json"))

    assert error.reason == "OPENAPI_TOO_LARGE"


async def test_the_real_bound(app: FakeApp, opened: Opened) -> None:
    app.answers["/most"] = web.Response(body=b"x" * (5 << 20))
    app.answers["/more"] = web.Response(body=b"x" * ((5 << 20) + 1))
    fetcher = opened()

    assert len(await fetcher.fetch(Page(f"{app.url}/most")) or b"") == 5 << 20
    assert (await failure(fetcher, Page(f"{app.url}/more"))).reason == "OPENAPI_TOO_LARGE"


async def test_a_document_that_is_cut_off(app: FakeApp, opened: Opened) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"{}")
        assert request.transport is not None
        request.transport.close()
        return response

    app.answers["/openapi.json"] = cut

    error = await failure(opened(), Page(f"{app.url}/openapi.json"))

    assert (type(error), error.reason) == (Transient, "OPENAPI_UNAVAILABLE")


async def test_headers_have_a_bound_too(opened: Opened) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while not writer.is_closing():
            writer.write(b"X-More: " + b"x" * 10_000 + b"\r\n")
            await asyncio.sleep(0)
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        error = await failure(opened(), Page(f"http://127.0.0.1:{port}/openapi.json"))

    assert error.message == "the app cannot be reached, or does not speak HTTP"


async def test_what_was_given_up_leaves_room_for_others(app: FakeApp, opened: Opened) -> None:
    app.answers["/slow"] = silence
    app.answers["/openapi.json"] = web.Response(body=b"{}")
    fetcher = opened(replace(HERE, timeout=SOON))
    await asyncio.gather(*(failure(fetcher, Page(f"{app.url}/slow")) for _ in range(30)))

    patient = opened()

    assert await patient.fetch(Page(f"{app.url}/openapi.json")) == b"{}"
    assert await fetcher.fetch(Page(f"{app.url}/openapi.json")) == b"{}"
