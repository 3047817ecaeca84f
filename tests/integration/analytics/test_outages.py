"""What comes of a ClickHouse that is away, silent, or none at all: an error soon, and never an address or a secret."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain, repeat
from pathlib import Path

import pytest

from service.analytics.dsn import parse
from service.analytics.requests import ANSWER_WITHIN, ClickHouseRequests, Routed
from service.analytics.tables import create_tables
from service.clock import now_ms
from service.dev.clickhouse import ClickHouseServer
from service.dev.ports import free_port
from service.errors import Transient

SECRET = "s3cret-and-long"  # noqa: S105 - planted
ASKED = [Routed("ws_1", "proj_1", "env_1", "d_1")]
MAX_AGE = timedelta(minutes=15)


@dataclass(frozen=True)
class Answer:
    """What is written back on a connection, which ends then, or stays open without a further word."""

    written: bytes
    hangs_up: bool = True


def http(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def refusal(code: int) -> Answer:
    body = f"Code: {code}. DB::Exception: {SECRET} at user@host. (OF_SOME_NAME)".encode()
    return Answer(http(body, "500 Internal Server Error", f"X-ClickHouse-Exception-Code: {code}"))


VERSION = Answer(http(b"25.6.4.12\tUTC\n"))  # what a client asks first
SILENCE = Answer(b"", hangs_up=False)
HALF = http(b"\x01\x03" + b"x" * 100)[:-50]


@asynccontextmanager
async def server(*answers: Answer) -> AsyncIterator[str]:
    """Answer one request after the other so, the last answer for ever, and give the URL."""
    queue = chain(answers, repeat(answers[-1]))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            answer = next(queue)
            writer.write(answer.written)
            await writer.drain()
            if not answer.hangs_up:
                await reader.read()  # until the client gives up
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1")
    async with listening:
        yield url(listening.sockets[0].getsockname()[1])


def url(port: int) -> str:
    return f"http://user-{SECRET}:{SECRET}@127.0.0.1:{port}/db-{SECRET}"


async def refused(url: str, answer_within: timedelta = ANSWER_WITHIN) -> Transient:
    """Ask, and return the error, which tells no secret."""
    log = ClickHouseRequests(parse(url), MAX_AGE, answer_within)
    with pytest.raises(Transient) as caught:
        await log.active(ASKED, now_ms())
    await log.close()
    error = caught.value
    assert error.reason == "CLICKHOUSE_UNAVAILABLE"
    shown = f"{error!s} {error!r} {error.facts}"
    assert SECRET not in shown
    assert "127.0.0.1" not in shown
    assert "user@host" not in shown
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None
    return error


@pytest.mark.parametrize(
    "answers",
    [
        [SILENCE],
        [VERSION, SILENCE],
        [Answer(HALF, hangs_up=False)],
        [VERSION, Answer(HALF, hangs_up=False)],
    ],
)
async def test_a_server_that_does_not_answer_is_waited_for_no_longer_than_that(answers: list[Answer]) -> None:
    async with server(*answers) as url:
        error = await refused(url, timedelta(milliseconds=300))

    assert error.message == "ClickHouse did not answer in time"
    assert timedelta(seconds=10) == ANSWER_WITHIN


@pytest.mark.parametrize(
    "answers",
    [
        [Answer(b"")],
        [Answer(b"SSH-2.0\r\n\r\n")],
        [Answer(http(b"<html>"))],
        [Answer(http(b"", "302 Found", "Location: http://127.0.0.1:1/"))],
        [Answer(http(SECRET.encode(), "502 Bad Gateway"))],
        [Answer(http(SECRET.encode(), "503 Service Unavailable"))],
        [VERSION, Answer(HALF)],
        [VERSION, Answer(http(b"\x01\x01\x01a\x06String\x7f" + SECRET.encode()))],
        [VERSION, Answer(http(b"\x01\x01\x01a\x07Unknown" + SECRET.encode()))],
        [VERSION, Answer(http(b"", "200 OK"))],
    ],
)
async def test_what_is_no_answer_is_never_taken_for_silence_of_the_callers(answers: list[Answer]) -> None:
    async with server(*answers) as url:
        await refused(url)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (60, "ClickHouse has no table default.sentinel_requests_raw_v1"),
        (81, "ClickHouse has no database of the name that clickhouse.url gives"),
        (497, "ClickHouse refuses this user the table default.sentinel_requests_raw_v1"),
        (516, "ClickHouse refuses the user or the password"),
        (241, "ClickHouse is not available at the moment"),
    ],
)
async def test_a_refusal_says_what_to_look_at(code: int, message: str) -> None:
    async with server(refusal(code)) as url:
        error = await refused(url)

    assert error.message == message
    assert error.facts == {"code": str(code)}


async def test_nobody_listens(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        error = await refused(url(free_port()))

    assert error.message == "ClickHouse is not available at the moment"
    assert SECRET not in caplog.text


async def test_the_real_server_s_refusals(tmp_path: Path) -> None:
    async with ClickHouseServer(tmp_path) as clickhouse:
        server, _, _ = clickhouse.url.rpartition("/")
        assert (await refused(f"http://default:{SECRET}@127.0.0.1:{clickhouse.port}")).facts == {"code": "516"}
        assert (await refused(f"{server}/{SECRET}")).facts == {"code": "81"}
        assert (await refused(clickhouse.url)).facts == {"code": "60"}


async def test_after_an_outage_it_answers_again(tmp_path: Path) -> None:
    clickhouse = ClickHouseServer(tmp_path)
    log = ClickHouseRequests(parse(clickhouse.url), MAX_AGE)
    try:
        await unavailable(log)  # not started yet
        await clickhouse.start()
        await create_tables(parse(clickhouse.url))
        assert await log.active(ASKED, now_ms()) == set()
        for end in (clickhouse.stop, clickhouse.kill):
            await end()
            await unavailable(log)
            await clickhouse.start()
            assert await log.active(ASKED, now_ms()) == set()
    finally:
        await log.close()
        await clickhouse.kill()


async def unavailable(log: ClickHouseRequests) -> None:
    with pytest.raises(Transient, match="not available at the moment"):
        await log.active(ASKED, now_ms())
