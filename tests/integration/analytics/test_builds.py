"""What builds leave behind, written in the background and read back, on the real engine."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from operator import attrgetter
from pathlib import Path

import pytest
from aiohttp import web
from clickhouse_connect.driver.asyncclient import AsyncClient
from structlog.testing import capture_logs

from service.analytics.batches import Limits
from service.analytics.build_history import LATENESS, LINES_QUERY, STEPS_QUERY, BuildHistory, BuildTail
from service.analytics.builds import BuildRecorder, ClickHouseBuilds, NullBuilds
from service.analytics.client import connect
from service.analytics.dsn import ClickHouseDsn, parse
from service.analytics.tables import create_tables
from service.clock import now_ms
from service.dev.clickhouse import ClickHouseServer
from service.dev.ports import free_port
from service.domain.build import BuildLogLine, BuildOf, BuildStep
from service.errors import Transient
from tests.servers.clickhouse_gate import ClickHouseGate
from tests.waiting import until

NOW = now_ms()  # rows of another time have an end of their own: the tables keep three months
LATENESS_MS = LATENESS // timedelta(milliseconds=1)
IN_TIME = timedelta(seconds=60)
SOON = timedelta(milliseconds=10)
ODD = "\0 'é' \\ \t\n{x:String} 💡 \x1b[31mred\x1b[0m %00 \u202e"
SECRET = "s3cret-and-long"  # noqa: S105 - planted


@pytest.fixture
def of(workspace: str) -> BuildOf:
    return BuildOf(workspace, "proj", "d_1")


@pytest.fixture
async def history(dsn: ClickHouseDsn) -> AsyncIterator[BuildHistory]:
    history = BuildHistory(dsn)
    yield history
    await history.close()


def step(number: int, started_at_ms: int = NOW, *, cached: bool = False, error: str = "") -> BuildStep:
    return BuildStep(
        f"sha256:{number:064x}", f"[{number}/9] RUN make", started_at_ms, started_at_ms + 10, cached, error, not cached
    )


def line(number: int, message: str, time_ms: int = NOW) -> BuildLogLine:
    return BuildLogLine(f"sha256:{number:064x}", time_ms, message)


@asynccontextmanager
async def recording(dsn: ClickHouseDsn, limits: Limits | None = None) -> AsyncIterator[ClickHouseBuilds]:
    builds = ClickHouseBuilds(dsn, limits)
    try:
        yield builds
    finally:
        await builds.close(IN_TIME)


async def write(
    dsn: ClickHouseDsn, of: BuildOf, lines: Iterable[BuildLogLine] = (), steps: Iterable[BuildStep] = ()
) -> None:
    """Write one batch of each."""
    async with recording(dsn) as builds:
        builds.add_lines(of, lines)
        builds.add_steps(of, steps)
    assert builds.lost_rows == 0


async def arrived(client: AsyncClient, of: BuildOf, lines: int) -> None:
    """Wait until a deployment has so many lines."""

    async def counted() -> bool:
        query = "SELECT count() FROM default.build_step_logs_v1 WHERE workspace_id = {workspace_id:String}"
        return bool(await client.command(query, parameters=of._asdict()) == lines)

    await until(counted)


async def news(tail: BuildTail) -> list[BuildLogLine]:
    return [line async for page in tail.lines() for line in page]


# ---------------------------------------------------------------------------------------------------------- written


async def test_a_step_fills_the_columns_of_its_table(client: AsyncClient, dsn: ClickHouseDsn, of: BuildOf) -> None:
    steps = [step(1, cached=True), replace(step(2, error=ODD), name=ODD)]
    await write(dsn, of, steps=steps)

    query = "SELECT * FROM default.build_steps_v1 WHERE workspace_id = {workspace_id:String} ORDER BY step_id"
    found = await client.query(query, parameters=of._asdict())

    assert list(found.named_results()) == [
        {
            "step_id": ended.step_id,
            "started_at": ended.started_at_ms,
            "completed_at": ended.completed_at_ms,
            **of._asdict(),
            "name": ended.name,
            "cached": ended.cached,
            "error": ended.error,
            "has_logs": ended.has_logs,
        }
        for ended in steps
    ]


async def test_a_line_fills_the_columns_of_its_table(client: AsyncClient, dsn: ClickHouseDsn, of: BuildOf) -> None:
    await write(dsn, of, [line(1, ODD), line(2, "half a pair: \ud83d", NOW + 1), line(3, "", NOW + 2)])

    query = "SELECT * FROM default.build_step_logs_v1 WHERE workspace_id = {workspace_id:String} ORDER BY time"
    found = await client.query(query, parameters=of._asdict())

    assert list(found.named_results()) == [
        {"time": NOW + number, **of._asdict(), "message": message, "step_id": line(number + 1, "").step_id}
        for number, message in enumerate([ODD, "half a pair: ?", ""])
    ]


async def test_rows_come_by_themselves_and_sooner_where_that_is_asked(
    client: AsyncClient, dsn: ClickHouseDsn, of: BuildOf
) -> None:
    async with recording(dsn) as builds:
        builds.add_lines(of, [line(1, "first")])
        await arrived(client, of, 1)
    async with recording(dsn, Limits(interval=timedelta(hours=1))) as builds:
        builds.add_lines(of, [line(1, "second")])
        builds.flush_soon()
        await arrived(client, of, 2)


async def test_eight_mebibytes_of_lines_are_read_back_equal(
    dsn: ClickHouseDsn, history: BuildHistory, of: BuildOf
) -> None:
    lines = [line(number % 8, f"{number:08} {'x' * 71}\n", NOW + number // 40) for number in range(2**23 // 81 + 1)]
    await write(dsn, of, lines)
    assert await news(BuildTail(history, of)) == sorted(lines, key=attrgetter("time_ms", "step_id"))


async def test_eight_builds_at_once_keep_apart(dsn: ClickHouseDsn, history: BuildHistory, workspace: str) -> None:
    builds = [BuildOf(workspace, "proj", f"d_{number}") for number in range(8)]
    async with recording(dsn, Limits(batch_rows=100)) as recorder:
        for number in range(100):
            for of in builds:
                recorder.add_lines(of, [line(1, f"{of.deployment_id} {number}", NOW + number)])
            await asyncio.sleep(0)
    for of in builds:
        assert [found.message for found in await history.lines(of)] == [f"{of.deployment_id} {n}" for n in range(100)]


async def test_without_clickhouse_nothing_is_kept_and_nothing_waits(of: BuildOf) -> None:
    builds: BuildRecorder = NullBuilds()
    builds.add_lines(of, [line(1, "lost")])
    builds.add_steps(of, [step(1)])
    builds.flush_soon()
    await builds.close(timedelta())
    assert builds.lost_rows == 0


# ---------------------------------------------------------------------------------------------------------- outages


async def test_an_outage_between_two_attempts_costs_nothing(tmp_path: Path, of: BuildOf) -> None:
    clickhouse = ClickHouseServer(tmp_path)
    try:
        await clickhouse.start()
        await create_tables(dsn := parse(clickhouse.url))
        client = await connect(dsn)
        async with recording(dsn, Limits(interval=SOON)) as builds:
            builds.add_lines(of, [line(1, "before")])
            await arrived(client, of, 1)
            for end in (clickhouse.kill, clickhouse.stop):
                await end()
                builds.add_lines(of, [line(1, f"during {end.__name__}", NOW + 1)])
                builds.add_steps(of, [step(1)])
                await clickhouse.start()
            await arrived(client, of, 3)
        assert builds.lost_rows == 0
        await client.close()
    finally:
        await clickhouse.kill()


async def test_a_long_outage_costs_what_was_tried_in_vain_and_is_told_by_the_batch(tmp_path: Path, of: BuildOf) -> None:
    clickhouse = ClickHouseServer(tmp_path)
    dsn = parse(clickhouse.url)
    try:
        with capture_logs() as logs:
            async with recording(dsn, Limits(interval=SOON, pauses=(SOON,) * 4)) as builds:
                builds.add_lines(of, [line(1, "lost"), line(1, "too")])
                await until(lambda: lost(builds, 2))
                builds.add_steps(of, [step(1)])
                await until(lambda: lost(builds, 3))
                await clickhouse.start()
                await create_tables(dsn)
                builds.add_lines(of, [line(1, "kept")])
        history = BuildHistory(dsn)
        assert await history.lines(of) == [line(1, "kept")]
        assert await history.steps(of) == []
        await history.close()
        assert builds.lost_rows == 3
    finally:
        await clickhouse.kill()
    away = "ClickHouse is not available at the moment"
    assert [(log["table"], log["rows"], log["why"]) for log in logs if log["log_level"] == "warning"] == [
        ("default.build_step_logs_v1", 2, away),
        ("default.build_steps_v1", 1, away),
    ]


async def lost(builds: ClickHouseBuilds, rows: int) -> bool:
    return builds.lost_rows == rows


class Forgetful(ClickHouseGate):
    """A gate that keeps the answers to the first inserts to itself."""

    kept = 2
    inserts = 0

    async def _pass(self, request: web.Request) -> web.Response:
        answer = await super()._pass(request)
        self.inserts += "async_insert" in request.query
        return web.Response(status=502) if 0 < self.inserts <= self.kept else answer


async def test_a_batch_whose_answer_was_lost_is_not_written_twice(
    clickhouse: ClickHouseServer, history: BuildHistory, of: BuildOf
) -> None:
    lines = [line(1, f"{number}", NOW + number) for number in range(3)]
    async with Forgetful(clickhouse) as gate:
        async with recording(parse(gate.url), Limits(pauses=(SOON,) * 4)) as builds:
            builds.add_lines(of, lines)
        assert gate.inserts == 3
    assert builds.lost_rows == 0
    assert await history.lines(of) == lines


async def test_a_clickhouse_that_hangs_holds_nobody_up_and_fills_no_memory(of: BuildOf) -> None:
    """Everything is taken in at once, up to the queue's end; each attempt is cut off; the end comes in time."""
    attempts = 0

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal attempts
        attempts += 1
        await reader.read()  # until the client gives up
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1")
    async with server:
        dsn = parse(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        builds = ClickHouseBuilds(dsn, Limits(queue_bytes=2**20, pauses=(SOON,) * 4), timedelta(milliseconds=100))
        builds.add_lines(of, [line(1, "x" * 1024)] * 2000)
        builds.add_steps(of, [step(1)] * 200_001)
        assert builds.lost_rows == (2000 - 1024) + (200_001 - 2**20 // len(step(1).name))
        builds.flush_soon()
        await until(lambda: tried(lambda: attempts, 2))
        await builds.close(timedelta(milliseconds=100))
    assert builds.lost_rows == 2000 + 200_001


async def tried(attempts: object, times: int) -> bool:
    assert callable(attempts)
    return bool(attempts() >= times)


async def test_no_log_line_tells_an_address_or_a_password(
    clickhouse: ClickHouseServer, caplog: pytest.LogCaptureFixture, of: BuildOf
) -> None:
    nobody = f"http://user-{SECRET}:{SECRET}@127.0.0.1:{free_port()}/db-{SECRET}"
    refused = f"http://default:{SECRET}@127.0.0.1:{clickhouse.port}/default"
    with caplog.at_level(logging.DEBUG), capture_logs() as logs:
        for url in (nobody, refused):
            async with recording(parse(url), Limits(pauses=(SOON,) * 4)) as builds:
                builds.add_lines(of, [line(1, SECRET)])
                builds.add_steps(of, [step(1, error=SECRET)])
            assert builds.lost_rows == 2
    assert [log["why"] for log in logs if log["log_level"] == "warning"] == [
        *["ClickHouse is not available at the moment"] * 2,
        *["ClickHouse refuses the user or the password"] * 2,
    ]
    assert SECRET not in f"{logs} {caplog.text} {builds!r}"


# -------------------------------------------------------------------------------------------------------- read back


async def test_all_attempts_of_a_deployment_are_read_in_time_order_and_nothing_else(
    dsn: ClickHouseDsn, history: BuildHistory, of: BuildOf
) -> None:
    first = [step(1), step(2, NOW + 5, error="killed")]
    second = [step(1, NOW + 100, cached=True), step(3, NOW + 100), step(2, NOW + 101)]
    await write(dsn, of, [line(2, "again", NOW + 102)], second)
    await write(dsn, of, [line(2, "at first", NOW + 6)], first)
    for other in (of._replace(deployment_id="d_2"), of._replace(project_id="p"), of._replace(workspace_id="w")):
        await write(dsn, other, [line(1, "of another")], [step(9)])

    assert await history.steps(of) == first + second
    assert await history.lines(of) == [line(2, "at first", NOW + 6), line(2, "again", NOW + 102)]
    assert await history.lines(of, from_ms=NOW + 7) == [line(2, "again", NOW + 102)]
    assert await history.lines(of._replace(deployment_id="d_3")) == []


async def test_lines_of_a_millisecond_are_in_the_order_in_which_they_were_written(
    client: AsyncClient, dsn: ClickHouseDsn, history: BuildHistory, of: BuildOf
) -> None:
    messages = [f"{number}" for number in (5, 3, 9, 1, 7, 0, 8, 2)]
    for message in messages[:4]:
        await write(dsn, of, [line(1, message)])
    await write(dsn, of, [line(1, message) for message in messages[4:]])
    assert [found.message for found in await history.lines(of)] == messages

    await client.command("OPTIMIZE TABLE default.build_step_logs_v1 FINAL")

    assert [found.message for found in await history.lines(of)] == messages


async def test_text_that_is_none_is_read_with_marks_in_its_place(
    client: AsyncClient, history: BuildHistory, of: BuildOf
) -> None:
    row = [*of, "sha256:1", NOW, b"caf\xc3 \xff"]
    columns = [*BuildOf._fields, "step_id", "time", "message"]
    await client.insert("default.build_step_logs_v1", [row], column_names=columns)
    assert [found.message for found in await history.lines(of)] == ["caf\ufffd \ufffd"]


@pytest.mark.parametrize("page_lines", [1, 2, 3, 5, 100])
async def test_pages_neither_lose_nor_repeat_lines_of_a_millisecond(
    dsn: ClickHouseDsn, history: BuildHistory, of: BuildOf, page_lines: int
) -> None:
    times = [0, 0, 0, 1, 2, 2, 2, 2, 2, 3]
    lines = [line(1, f"{number}", NOW + time) for number, time in enumerate(times)]
    await write(dsn, of, lines)
    pages = [page async for page in BuildTail(history, of, page_lines).lines()]
    assert [line for page in pages for line in page] == lines
    assert max(map(len, pages)) <= page_lines + 4


async def test_each_look_finds_what_is_new_however_late_it_comes_and_however_often(
    dsn: ClickHouseDsn, history: BuildHistory, of: BuildOf
) -> None:
    tail = BuildTail(history, of, page_lines=2)
    looks: Sequence[tuple[list[BuildLogLine], list[BuildStep]]] = [
        ([line(1, "a"), line(1, "a"), line(1, "b")], []),
        ([line(1, "c"), line(1, "a")], [step(2, NOW + 50)]),  # in the same millisecond as the newest
        ([], []),
        ([line(1, "much later", NOW + LATENESS_MS)], []),
        ([line(1, "late"), line(2, "a", NOW + 1)], [step(1), step(1)]),  # of earlier times than what is known
    ]
    assert (await news(tail), await tail.steps()) == ([], [])
    for lines, steps in looks:
        await write(dsn, of, lines, steps)
        assert (await news(tail), await tail.steps()) == (lines, steps)
    assert (await news(tail), await tail.steps()) == ([], [])


@pytest.mark.parametrize("query", [STEPS_QUERY, LINES_QUERY])
async def test_only_the_deployment_s_own_rows_are_read(
    client: AsyncClient, dsn: ClickHouseDsn, of: BuildOf, query: str
) -> None:
    await write(dsn, of, [line(1, "x")], [step(1)])
    plan = await client.query(f"EXPLAIN indexes = 1 {query}", parameters={**of._asdict(), "from_ms": 0, "at_least": 10})
    lines = "\n".join(line for (line,) in plan.result_rows)
    keys = lines.split("PrimaryKey")[1:]
    assert keys
    for key in keys:
        assert all(f"({column} in ['{value}', '{value}'])" in key for column, value in of._asdict().items()), lines


async def test_a_clickhouse_that_cannot_be_read_is_said_without_its_address(tmp_path: Path, of: BuildOf) -> None:
    clickhouse = ClickHouseServer(tmp_path)
    history = BuildHistory(parse(clickhouse.url))
    try:
        with pytest.raises(Transient, match="ClickHouse is not available at the moment"):
            await history.steps(of)
        await clickhouse.start()
        with pytest.raises(Transient, match=r"ClickHouse has no table default\.build_step_logs_v1"):
            await history.lines(of)
        await create_tables(parse(clickhouse.url))
        assert await history.steps(of) == []
    finally:
        await history.close()
        await clickhouse.kill()
