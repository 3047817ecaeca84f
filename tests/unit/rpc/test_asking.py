"""Asking for rounds of the reconciler goes on, whatever answers at the ingress."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from service.app.reconciling import reconciling
from service.config import Settings, parse
from tests.servers.stray import stray
from tests.waiting import until


@pytest.fixture
def logs() -> Iterator[list[Any]]:
    with capture_logs() as lines:
        yield lines


class Ingress:
    """Answers the first requests with what it is given, and the later ones as Restate does."""

    def __init__(self, *first: web.Response) -> None:
        self.first = list(first)
        self.taken: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        if self.first:
            return self.first.pop(0)
        if request.method == "GET":
            return web.json_response({})  # the last round has ended
        self.taken.append(request.headers["idempotency-key"])
        return web.json_response({"invocationId": f"inv_{len(self.taken)}", "status": "Accepted"}, status=202)

    async def is_asked(self) -> bool:
        return len(self.taken) > 1


def settings(ingress_url: str) -> Settings:
    return parse(
        f"""
        database.primary = "sqlite:///nowhere.db"
        restate.ingress_url = "{ingress_url}"
        reconcile.interval = "50ms"
        reconcile.thorough_interval = "0s"
        """,
        {},
    )


@pytest.mark.parametrize(
    "body",
    [
        "<html>please log in</html>",
        "",
        "[]",
        "null",
        "{}",
        '{"status": "Accepted"}',
        '{"invocationId": 7, "status": ""}',
    ],
)
async def test_a_page_in_place_of_an_answer_costs_no_more_than_that_round(body: str, logs: list[Any]) -> None:
    ingress = Ingress(web.Response(text=body), web.Response(text=body, status=202))
    async with stray(ingress.answer) as url, reconciling(settings(url)):
        await until(ingress.is_asked)

    asked = [line for line in logs if line["event"] == "no round of the reconciler could be asked for"]
    assert [(line["log_level"], line["reason"]) for line in asked] == [("warning", "RESTATE_UNAVAILABLE")] * 2


async def test_it_ends_at_once(logs: list[Any]) -> None:
    async def hang(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with stray(hang) as url, asyncio.timeout(2), reconciling(settings(url)):
        await asyncio.sleep(0.1)
    assert logs == []
