"""Redirects are followed on the app's own host, and not off it."""

import pytest
from aiohttp import web

from service.errors import FailedPrecondition
from service.openapi.fetch import Page
from tests.integration.openapi.expected import DOCUMENT, Opened, failure
from tests.integration.openapi.fake_app import FakeApp


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "location",
    [
        "/docs/a%20b.json?v=2",
        "b/../a%20b.json?v=2#x",
        "http://{host}/docs/a%20b.json?v=2",
        "//{host}/docs/a b.json?v=2",
    ],
)
async def test_a_redirect_on_the_host_is_followed(app: FakeApp, opened: Opened, status: int, location: str) -> None:
    to = location.format(host=f"127.0.0.1:{app.port}")
    app.answers["/docs/openapi.json"] = web.Response(status=status, headers={"Location": to, "Set-Cookie": "a=b"})
    app.answers["/docs/a%20b.json?v=2"] = web.Response(body=DOCUMENT)
    page = Page(f"{app.url}/docs/openapi.json", {"X-Deployment-Id": "d_1"})

    assert await opened().fetch(page) == DOCUMENT

    first, second = app.asked
    assert second.method == "GET"
    assert second.headers == first.headers
    assert not {"Cookie", "Referer", "Authorization"} & set(second.headers)


async def test_five_redirects_are_followed(app: FakeApp, opened: Opened) -> None:
    for step in range(5):
        app.answers[f"/{step}"] = web.Response(status=302, headers={"Location": f"/{step + 1}"})
    app.answers["/5"] = web.Response(body=DOCUMENT)

    assert await opened().fetch(Page(f"{app.url}/0")) == DOCUMENT


async def test_a_sixth_is_not(app: FakeApp, opened: Opened) -> None:
    app.answers["/loop"] = web.Response(status=302, headers={"Location": "/loop"})

    error = await failure(opened(), Page(f"{app.url}/loop"))

    assert (type(error), error.reason) == (FailedPrecondition, "OPENAPI_REDIRECTED")
    assert "more than 5 times" in error.message
    assert len(app.asked) == 6


async def test_a_redirect_may_lead_to_nothing(app: FakeApp, opened: Opened) -> None:
    app.answers["/openapi.json"] = web.Response(status=302, headers={"Location": "/gone"})

    assert await opened().fetch(Page(f"{app.url}/openapi.json")) is None


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:{other}/openapi.json",
        "//127.0.0.1:{other}/openapi.json",
        "http://localhost:{other}/openapi.json",
        "http://localhost:{own}/openapi.json",
        "http://127.1:{own}/openapi.json",
        "http://127.0.0.1.:{own}/openapi.json",
        "http://127.0.0.1/openapi.json",
        "https://127.0.0.1:{own}/openapi.json",
        "http://169.254.169.254/latest/meta-data/",
        "http://169.254.169.254:{own}/latest/meta-data/",
        "http://[::1]:{own}/",
        "http://127.0.0.1:{own}@localhost:{other}/",
        "file:///etc/passwd",
        "ftp://127.0.0.1:{own}/",
        "javascript:alert(1)",
    ],
)
async def test_no_other_host_is_asked(app: FakeApp, opened: Opened, location: str) -> None:
    async with FakeApp() as other:
        to = location.format(own=app.port, other=other.port)
        app.answers["/openapi.json"] = web.Response(status=302, headers={"Location": to})

        error = await failure(opened(), Page(f"{app.url}/openapi.json"))

        assert (type(error), error.reason) == (FailedPrecondition, "OPENAPI_REDIRECTED")
        assert len(app.asked) == 1
        assert other.asked == []


@pytest.mark.parametrize(
    "location",
    [
        "http://[::1",
        "http://a:b:c/",
        "http://\u2100.test/",
        "x" * 70_000,
        "//[/",
        "http:////[[+",
        "http://127.0.0.1:x/",
    ],
)
async def test_what_is_no_address(app: FakeApp, opened: Opened, location: str) -> None:
    app.answers["/openapi.json"] = web.Response(status=302, headers={"Location": location})

    error = await failure(opened(), Page(f"{app.url}/openapi.json"))

    assert (type(error), error.reason) == (FailedPrecondition, "OPENAPI_REDIRECTED")
    assert len(app.asked) == 1


@pytest.mark.parametrize("headers", [{}, {"Location": ""}, {"Location": "//"}, {"Location": "http://"}])
async def test_a_redirect_to_nowhere(app: FakeApp, opened: Opened, headers: dict[str, str]) -> None:
    app.answers["/openapi.json"] = web.Response(status=302, headers=headers)

    error = await failure(opened(), Page(f"{app.url}/openapi.json"))

    assert (type(error), error.reason) == (FailedPrecondition, "OPENAPI_REDIRECTED")


async def test_an_instance_of_a_local_stack_redirects_no_further(app: FakeApp, opened: Opened) -> None:
    async with FakeApp() as other:
        app.answers["/openapi.json"] = web.Response(status=302, headers={"Location": f"{other.url}/openapi.json"})

        error = await failure(opened(), Page(f"{app.url}/openapi.json", {"X-Deployment-Id": "d_1"}, local=True))

        assert error.reason == "OPENAPI_REDIRECTED"
        assert other.asked == []
