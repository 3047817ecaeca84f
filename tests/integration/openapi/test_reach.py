"""Which addresses are connected to: those that were checked, whatever the name leads to a moment later."""

from collections.abc import Sequence
from ipaddress import ip_address, ip_network

import pytest
from aiohttp import web

from service.dev.ports import free_port
from service.errors import FailedPrecondition, Transient
from service.openapi.addresses import Address, system_resolver
from service.openapi.fetch import FetchOptions, Page
from tests.integration.openapi.expected import DOCUMENT, HERE, Opened, failure
from tests.integration.openapi.fake_app import FakeApp

NAME = "app.test"


class Names:
    """A name server that may change its mind: it gives its answers in turn, the last one from then on."""

    def __init__(self, *answers: str) -> None:
        self.asked: list[str] = []
        self._answers = [[ip_address(each) for each in answer.split()] for answer in answers]

    async def resolve(self, host: str) -> Sequence[Address]:
        self.asked.append(host)
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


@pytest.fixture
def app(app: FakeApp) -> FakeApp:
    """Let it publish something."""
    app.answers["/openapi.json"] = web.Response(body=DOCUMENT)
    return app


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "127.1", "0x7f.1", "2130706433", "0", "[::1]", "[::ffff:127.0.0.1]"]
)
async def test_this_machine_is_not_reached_by_any_name(app: FakeApp, opened: Opened, host: str) -> None:
    with pytest.raises(FailedPrecondition, match="must not be reached from here") as caught:
        await opened(FetchOptions()).fetch(Page(f"{app.at(host)}/openapi.json"))

    assert caught.value.reason == "OPENAPI_ADDRESS_REFUSED"
    assert app.asked == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "0x7f.1", "2130706433"])
async def test_a_network_that_is_allowed_is(app: FakeApp, opened: Opened, host: str) -> None:
    assert await opened().fetch(Page(f"{app.at(host)}/openapi.json")) == DOCUMENT

    assert app.asked[0].headers["Host"] == f"{host}:{app.port}"


async def test_a_name_with_one_address_that_must_not_be_reached(app: FakeApp, opened: Opened) -> None:
    names = Names("127.0.0.1 169.254.169.254")

    error = await failure(opened(HERE, names.resolve), Page(f"{app.at(NAME)}/openapi.json"))

    assert (type(error), error.reason) == (FailedPrecondition, "OPENAPI_ADDRESS_REFUSED")
    assert error.message.startswith("app.test leads to an address")
    assert "169.254" not in f"{error} {error.facts}"
    assert app.asked == []


async def test_a_name_that_changes_after_the_check(app: FakeApp, opened: Opened) -> None:
    names = Names("127.0.0.1", "127.0.0.2")
    app.answers["/openapi.json"] = web.Response(status=302, headers={"Location": f"{app.at(NAME)}/moved.json"})
    app.answers["/moved.json"] = web.Response(body=DOCUMENT)
    async with FakeApp(host="127.0.0.2", port=app.port) as inside:
        fetcher = opened(FetchOptions(allowed_networks=(ip_network("127.0.0.1/32"),)), names.resolve)

        assert await fetcher.fetch(Page(f"{app.at(NAME)}/openapi.json")) == DOCUMENT
        assert names.asked == [NAME]
        assert [asked.headers["Host"] for asked in app.asked] == [f"{NAME}:{app.port}"] * 2
        error = await failure(fetcher, Page(f"{app.at(NAME)}/openapi.json"))

        assert error.reason == "OPENAPI_ADDRESS_REFUSED"
        assert inside.asked == []


async def test_the_first_address_comes_first(app: FakeApp, opened: Opened) -> None:
    async with FakeApp(host="127.0.0.2", port=app.port) as second:
        second.answers["/openapi.json"] = web.Response(body=b"{}")
        fetcher = opened(HERE, Names("127.0.0.2 127.0.0.1").resolve)

        assert await fetcher.fetch(Page(f"{app.at(NAME)}/openapi.json")) == b"{}"
    assert app.asked == []


async def test_the_next_address_is_for_when_the_first_is_dead(app: FakeApp, opened: Opened) -> None:
    fetcher = opened(HERE, Names("127.0.0.2 ::1 127.0.0.1").resolve)

    assert await fetcher.fetch(Page(f"{app.at(NAME)}/openapi.json")) == DOCUMENT


async def test_no_address_answers(opened: Opened) -> None:
    fetcher = opened(HERE, Names("127.0.0.2 ::1 127.0.0.1").resolve)

    error = await failure(fetcher, Page(f"http://{NAME}:{free_port()}/openapi.json"))

    assert (type(error), error.reason) == (Transient, "OPENAPI_UNAVAILABLE")


async def test_a_few_addresses_are_tried_and_no_more(app: FakeApp, opened: Opened) -> None:
    fetcher = opened(HERE, Names("127.0.0.2 127.0.0.3 127.0.0.4 127.0.0.5 127.0.0.1").resolve)

    assert (await failure(fetcher, Page(f"{app.at(NAME)}/openapi.json"))).reason == "OPENAPI_UNAVAILABLE"
    assert app.asked == []


async def test_an_app_that_answered_is_not_asked_again_elsewhere(app: FakeApp, opened: Opened) -> None:
    async with FakeApp(host="127.0.0.2", port=app.port) as first:
        first.answers["/openapi.json"] = web.Response(status=500)
        fetcher = opened(HERE, Names("127.0.0.2 127.0.0.1").resolve)

        assert (await failure(fetcher, Page(f"{app.at(NAME)}/openapi.json"))).reason == "OPENAPI_UNAVAILABLE"
    assert app.asked == []


async def test_an_address_of_ipv6(opened: Opened) -> None:
    async with FakeApp(host="::1") as app:
        app.answers["/openapi.json"] = web.Response(body=DOCUMENT)

        assert await opened().fetch(Page(f"{app.at('[::1]')}/openapi.json")) == DOCUMENT
        assert await opened(HERE, Names("::1").resolve).fetch(Page(f"{app.at(NAME)}/openapi.json")) == DOCUMENT

        assert [asked.headers["Host"] for asked in app.asked] == [f"[::1]:{app.port}", f"{NAME}:{app.port}"]


async def test_the_system_knows_this_machine() -> None:
    assert ip_address("127.0.0.1") in await system_resolver("localhost")


@pytest.mark.parametrize("host", ["", ".app", "a..b", "x" * 64, f"{'x' * 64}.test"])
async def test_what_is_no_name_is_not_known(host: str) -> None:
    with pytest.raises(Transient, match="host name is not known") as caught:
        await system_resolver(host)
    assert caught.value.reason == "OPENAPI_UNAVAILABLE"
