"""What becomes of an app's answer, and what the app sees of the request."""

import asyncio
import gzip

import pytest
from aiohttp import web

from service.dev.ports import free_port
from service.errors import FailedPrecondition, Transient
from service.openapi.fetch import FetchOptions, Page
from tests.integration.openapi.expected import DOCUMENT, SAID_BY_THE_APP, Opened, failure
from tests.integration.openapi.fake_app import FakeApp


async def test_a_document_is_kept_byte_for_byte(app: FakeApp, opened: Opened) -> None:
    app.answers["/v1/openapi.json"] = web.Response(body=DOCUMENT, headers={"Content-Type": "text/plain"})

    assert await opened().fetch(Page(f"{app.url}/v1/openapi.json")) == DOCUMENT

    (asked,) = app.asked
    assert (asked.method, asked.path) == ("GET", "/v1/openapi.json")
    assert dict(asked.headers) == {
        "Host": f"127.0.0.1:{app.port}",
        "Accept": "application/json, application/yaml, */*;q=0.5",
        "Accept-Encoding": "identity",
        "Connection": "close",
        "User-Agent": "hydra-deploy",
    }


async def test_an_empty_answer_is_for_others_to_judge(app: FakeApp, opened: Opened) -> None:
    app.answers["/openapi.json"] = web.Response()

    assert await opened().fetch(Page(f"{app.url}/openapi.json")) == b""


@pytest.mark.parametrize(
    ("path", "wire"),
    [
        ("/\u00f6.json", "/%C3%B6.json"),
        ("/my%20docs/a.json", "/my%20docs/a.json"),
        ("/a//b", "/a//b"),
        ("/%7Ea", "/%7Ea"),
        ('/"<x>"', "/%22%3Cx%3E%22"),
    ],
)
async def test_a_path_is_asked_for_as_it_is(app: FakeApp, opened: Opened, path: str, wire: str) -> None:
    app.answers[wire] = web.Response(body=DOCUMENT)

    assert await opened().fetch(Page(f"{app.url}{path}")) == DOCUMENT


@pytest.mark.parametrize("status", [404, 410])
async def test_an_app_without_a_document(app: FakeApp, opened: Opened, status: int) -> None:
    app.answers["/openapi.json"] = web.Response(status=status, text="a" * 10_000)

    assert await opened().fetch(Page(f"{app.url}/openapi.json")) is None


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 520, 599])
async def test_a_status_that_passes(app: FakeApp, opened: Opened, status: int) -> None:
    app.answers["/openapi.json"] = web.Response(status=status, text=SAID_BY_THE_APP, reason=SAID_BY_THE_APP)

    error = await failure(opened(), Page(f"{app.url}/openapi.json"))

    assert (type(error), error.reason) == (Transient, "OPENAPI_UNAVAILABLE")
    assert str(status) in error.message


@pytest.mark.parametrize(
    "status", [201, 202, 204, 206, 299, 300, 304, 305, 306, 400, 401, 403, 405, 406, 418, 451, 600]
)
async def test_a_status_that_stays(app: FakeApp, opened: Opened, status: int) -> None:
    body = None if status in (204, 304) else SAID_BY_THE_APP
    app.answers["/openapi.json"] = web.Response(status=status, text=body, reason=SAID_BY_THE_APP)

    error = await failure(opened(), Page(f"{app.url}/openapi.json"))

    assert (type(error), error.reason) == (FailedPrecondition, "OPENAPI_REFUSED")
    assert f"status {status}" in error.message


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "x-unknown", "gzip, identity", "GZIP"])
async def test_a_compressed_answer_is_not_opened(app: FakeApp, opened: Opened, encoding: str) -> None:
    app.answers["/openapi.json"] = web.Response(body=gzip.compress(b"{}"), headers={"Content-Encoding": encoding})

    error = await failure(opened(), Page(f"{app.url}/openapi.json"))

    assert (type(error), error.reason) == (FailedPrecondition, "OPENAPI_ENCODED")


async def test_an_answer_may_say_that_it_is_not_compressed(app: FakeApp, opened: Opened) -> None:
    app.answers["/openapi.json"] = web.Response(body=DOCUMENT, headers={"Content-Encoding": "Identity"})

    assert await opened().fetch(Page(f"{app.url}/openapi.json")) == DOCUMENT


async def test_an_instance_of_a_local_stack_is_asked_wherever_it_is(app: FakeApp, opened: Opened) -> None:
    app.answers["/openapi.json"] = web.Response(body=DOCUMENT)
    page = Page(f"http://localhost:{app.port}/openapi.json", {"X-Deployment-Id": "d_1"}, local=True)

    assert await opened(FetchOptions()).fetch(page) == DOCUMENT

    assert app.asked[0].headers["X-Deployment-Id"] == "d_1"
    assert app.asked[0].headers["Host"] == f"localhost:{app.port}"


async def test_proxies_of_the_environment_are_not_asked(
    app: FakeApp, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.answers["/openapi.json"] = web.Response(body=DOCUMENT)
    async with FakeApp() as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
            monkeypatch.setenv(name.lower(), proxy.url)
        assert await opened().fetch(Page(f"{app.url}/openapi.json")) == DOCUMENT
        assert proxy.asked == []


async def test_many_are_asked_at_once(app: FakeApp, opened: Opened) -> None:
    app.answers["/openapi.json"] = web.Response(body=DOCUMENT)
    fetcher = opened()

    found = await asyncio.gather(*(fetcher.fetch(Page(f"{app.url}/openapi.json")) for _ in range(50)))

    assert found == [DOCUMENT] * 50


async def test_nobody_listens(opened: Opened) -> None:
    error = await failure(opened(), Page(f"http://127.0.0.1:{free_port()}/openapi.json"))

    assert (type(error), error.reason) == (Transient, "OPENAPI_UNAVAILABLE")


async def test_a_name_that_is_not_known(opened: Opened) -> None:
    error = await failure(opened(), Page(f"https://{'x' * 64}.test/openapi.json"))

    assert (type(error), error.reason) == (Transient, "OPENAPI_UNAVAILABLE")


@pytest.mark.parametrize(
    "url",
    [
        "https://user:hunter2@app.test/openapi.json",
        "https://app.test\\@127.0.0.1/openapi.json",
        "https://127.0.0.1:65536/openapi.json",
        "https://127.0.0.1:x/openapi.json",
        "https://0177.0.0.1/openapi.json",
        "https://[::1/openapi.json",
        "https://app\x00.test/openapi.json",
        "file:///etc/passwd",
        "ftp://app.test/",
        "app.test/openapi.json",
    ],
)
async def test_what_is_no_address_of_a_page(opened: Opened, url: str) -> None:
    error = await failure(opened(), Page(url))

    assert (type(error), error.reason) == (FailedPrecondition, "OPENAPI_ADDRESS_REFUSED")


@pytest.mark.parametrize(
    "said", [b"", b"\x00" * 100, b"HTTP/1.1 abc\r\n\r\n", b"SSH-2.0-hunter2\r\n", b"HTTP/1.1 200 OK\r\nx"]
)
async def test_what_does_not_speak_http(opened: Opened, said: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        error = await failure(opened(), Page(f"http://127.0.0.1:{port}/openapi.json"))

    assert (type(error), error.reason) == (Transient, "OPENAPI_UNAVAILABLE")
