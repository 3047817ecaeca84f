"""Whether the log of requests is still written, asked of the real engine."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from service.analytics.client import connect
from service.analytics.dsn import ClickHouseDsn, parse
from service.analytics.requests import ClickHouseRequests, Routed
from service.analytics.tables import create_tables
from service.clock import now_ms
from service.dev.clickhouse import ClickHouseServer
from service.dev.visits import log_visit
from service.errors import FailedPrecondition, Transient

MAX_AGE = timedelta(minutes=15)
MINUTE_MS = 60_000
SOMEBODY = Routed("ws_1", "proj_1", "env_1", "d_1")


@pytest.fixture(scope="module")
async def unshared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ClickHouseDsn]:
    """Run a ClickHouse of this module's own: what others log would keep the log alive."""
    async with ClickHouseServer(tmp_path_factory.mktemp("unshared")) as server:
        dsn = parse(server.url)
        await create_tables(dsn)
        yield dsn


@pytest.fixture
async def empty(unshared: ClickHouseDsn) -> ClickHouseDsn:
    client = await connect(unshared)
    await client.command("TRUNCATE TABLE default.sentinel_requests_raw_v1")
    await client.close()
    return unshared


async def refusal(dsn: ClickHouseDsn, max_age: timedelta = MAX_AGE) -> str:
    """Return why the log is not believed; empty where it is."""
    log = ClickHouseRequests(dsn, max_age)
    try:
        await log.require_alive()
    except FailedPrecondition as error:
        return f"[{error.reason}] {error.message}"
    finally:
        await log.close()
    return ""


async def test_a_log_that_is_written_is_believed(empty: ClickHouseDsn) -> None:
    await log_visit(empty, SOMEBODY, now_ms() - 14 * MINUTE_MS)
    assert await refusal(empty) == ""


async def test_a_log_that_has_stood_still_is_refused_and_since_when_is_said(empty: ClickHouseDsn) -> None:
    newest = now_ms() - 16 * MINUTE_MS
    for at_ms in (newest - MINUTE_MS, newest, newest - 9 * MINUTE_MS):
        await log_visit(empty, SOMEBODY, at_ms)

    message = await refusal(empty)

    since = datetime.fromtimestamp(newest // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert message.startswith(f"[REQUEST_LOG_STALE] the request log has stood still since {since}: ")
    assert "sentinels" in message
    assert "deploy.request_log_max_age" in message
    assert await refusal(empty, timedelta(minutes=17)) == ""


async def test_an_empty_log_is_refused(empty: ClickHouseDsn) -> None:
    assert (await refusal(empty)).startswith("[REQUEST_LOG_STALE] the request log is empty: ")


async def test_a_sentinel_whose_clock_is_ahead_keeps_no_log_alive(empty: ClickHouseDsn) -> None:
    await log_visit(empty, SOMEBODY, now_ms() + 60 * MINUTE_MS)
    assert (await refusal(empty)).startswith("[REQUEST_LOG_STALE] the request log is empty: ")
    await log_visit(empty, SOMEBODY, now_ms() + MINUTE_MS)  # no two clocks are the same
    assert await refusal(empty) == ""


async def test_the_setting_turns_the_check_off(empty: ClickHouseDsn) -> None:
    assert await refusal(empty, timedelta()) == ""


async def test_a_log_that_stops_in_the_middle_of_a_sweep_is_noticed(empty: ClickHouseDsn) -> None:
    """Asked with every page, it asks ClickHouse anew after a tenth of the time."""
    log = ClickHouseRequests(empty, timedelta(seconds=2))
    await log_visit(empty, SOMEBODY, now_ms())
    await log.require_alive()
    await asyncio.sleep(2.5)
    with pytest.raises(FailedPrecondition, match="has stood still since"):
        await log.require_alive()
    await log_visit(empty, SOMEBODY, now_ms())
    await log.require_alive()
    await log.close()


async def test_many_pages_ask_once(empty: ClickHouseDsn) -> None:
    log = ClickHouseRequests(empty, MAX_AGE)
    await log_visit(empty, SOMEBODY, now_ms())
    await log.require_alive()
    client = await connect(empty)
    await client.command("TRUNCATE TABLE default.sentinel_requests_raw_v1")
    await client.close()
    await log.require_alive()
    await log.close()


async def test_where_nobody_can_tell_the_trouble_may_pass() -> None:
    log = ClickHouseRequests(parse("http://127.0.0.1:1"), MAX_AGE)
    with pytest.raises(Transient) as away:
        await log.require_alive()
    assert away.value.reason == "CLICKHOUSE_UNAVAILABLE"
    await log.close()
