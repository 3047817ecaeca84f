"""An app's certificate is verified for its name, although the connection is to an address."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from aiohttp import web

from service.errors import Transient
from service.openapi.addresses import Address
from service.openapi.fetch import FetchOptions, Page
from tests.integration.openapi.expected import DOCUMENT, HERE, Opened, failure
from tests.integration.openapi.fake_app import FakeApp
from tests.servers.certificates import Authority

NAME = "app.test"


async def everything_is_here(_: str) -> Sequence[Address]:
    return [ip_address("127.0.0.1")]


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
def options(authority: Authority) -> FetchOptions:
    return replace(HERE, tls=ssl.create_default_context(cadata=authority.cert.decode("ascii")))


def server_tls(authority: Authority, name: str, folder: Path) -> ssl.SSLContext:
    pair = authority.server(name)
    file = folder / f"{name}.pem"
    file.write_bytes(pair.cert + pair.key)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(file)
    return tls


@pytest.fixture
async def app(authority: Authority, tmp_path: Path) -> AsyncIterator[FakeApp]:
    """Run an app that is called app.test, and has a certificate for that."""
    async with FakeApp(server_tls(authority, NAME, tmp_path)) as app:
        app.answers["/openapi.json"] = web.Response(body=DOCUMENT)
        yield app


async def test_a_server_is_asked_by_its_name(app: FakeApp, opened: Opened, options: FetchOptions) -> None:
    app.answers["/old.json"] = web.Response(status=308, headers={"Location": "/openapi.json"})

    assert await opened(options, everything_is_here).fetch(Page(f"{app.at(NAME)}/old.json")) == DOCUMENT

    assert app.names == [NAME, NAME]
    assert [asked.headers["Host"] for asked in app.asked] == [f"{NAME}:{app.port}"] * 2


async def test_a_name_that_the_certificate_is_not_for(app: FakeApp, opened: Opened, options: FetchOptions) -> None:
    for host in ("other.test", "sub.app.test", "127.0.0.1"):
        error = await failure(opened(options, everything_is_here), Page(f"{app.at(host)}/openapi.json"))
        assert (type(error), error.reason) == (Transient, "OPENAPI_UNAVAILABLE")

    assert app.asked == []


async def test_one_apps_connection_is_not_anothers(app: FakeApp, opened: Opened, options: FetchOptions) -> None:
    fetcher = opened(options, everything_is_here)
    assert await fetcher.fetch(Page(f"{app.at(NAME)}/openapi.json")) == DOCUMENT

    assert (await failure(fetcher, Page(f"{app.at('other.test')}/openapi.json"))).reason == "OPENAPI_UNAVAILABLE"

    assert app.names == [NAME, "other.test"]


async def test_an_authority_that_nobody_knows(app: FakeApp, opened: Opened) -> None:
    error = await failure(opened(HERE, everything_is_here), Page(f"{app.at(NAME)}/openapi.json"))

    assert (type(error), error.reason) == (Transient, "OPENAPI_UNAVAILABLE")
    assert app.asked == []


async def test_an_authority_of_the_environment(
    app: FakeApp, opened: Opened, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "authority.pem").write_bytes(authority.cert)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))

    assert await opened(HERE, everything_is_here).fetch(Page(f"{app.at(NAME)}/openapi.json")) == DOCUMENT


async def test_a_redirect_to_plain_http(app: FakeApp, opened: Opened, options: FetchOptions) -> None:
    async with FakeApp() as plain:
        for to in (f"http://{NAME}/openapi.json", f"http://{NAME}:{app.port}/", plain.at(NAME)):
            app.answers["/openapi.json"] = web.Response(status=301, headers={"Location": to})
            error = await failure(opened(options, everything_is_here), Page(f"{app.at(NAME)}/openapi.json"))
            assert error.reason == "OPENAPI_REDIRECTED"
        assert plain.asked == []


async def test_a_server_without_tls(opened: Opened, options: FetchOptions) -> None:
    async with FakeApp() as plain:
        page = Page(f"https://{NAME}:{plain.port}/openapi.json")

        assert (await failure(opened(options, everything_is_here), page)).reason == "OPENAPI_UNAVAILABLE"
        assert plain.asked == []


async def test_an_address_that_says_nothing_has_no_more_than_its_share_of_the_time(
    app: FakeApp, opened: Opened, options: FetchOptions
) -> None:
    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def resolve(_: str) -> Sequence[Address]:
        return [ip_address("127.0.0.2"), ip_address("127.0.0.1")]

    async with await asyncio.start_server(silence, "127.0.0.2", app.port):
        fetcher = opened(replace(options, timeout=timedelta(seconds=2)), resolve)

        assert await fetcher.fetch(Page(f"{app.at(NAME)}/openapi.json")) == DOCUMENT


async def test_a_connection_that_is_tampered_with(app: FakeApp, opened: Opened, options: FetchOptions) -> None:
    ended = asyncio.Event()

    async def tamper(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", app.port)

        async def forward() -> None:
            with suppress(ConnectionError):
                while chunk := await reader.read(65536):
                    inner_writer.write(chunk)
            inner_writer.close()

        forwarding = asyncio.create_task(forward())
        while chunk := await inner_reader.read(65536):
            # What comes after the request is the answer; of its first record the header is left.
            writer.write(chunk[:5] + bytes(len(chunk) - 5) if app.asked else chunk)
        await forwarding
        writer.close()
        ended.set()

    async with await asyncio.start_server(tamper, "127.0.0.1", 0) as front:
        page = Page(f"https://{NAME}:{front.sockets[0].getsockname()[1]}/openapi.json")
        error = await failure(opened(options, everything_is_here), page)
        await ended.wait()

    assert (type(error), error.reason) == (Transient, "OPENAPI_UNAVAILABLE")
    assert len(app.asked) == 1
