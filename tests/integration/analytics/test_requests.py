"""Which deployments were called, asked of the real engine."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable
from datetime import timedelta

import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import DatabaseError

from service.analytics.dsn import ClickHouseDsn
from service.analytics.requests import ACTIVE_QUERY, ClickHouseRequests, Routed, external_table
from service.clock import now_ms

HOUR_MS = 3_600_000
MANY = 5000


@pytest.fixture
async def log(dsn: ClickHouseDsn) -> AsyncIterator[ClickHouseRequests]:
    log = ClickHouseRequests(dsn, timedelta(minutes=15))
    yield log
    await log.close()


async def call(client: AsyncClient, calls: Iterable[tuple[Routed, int]]) -> None:
    """Log a request to each deployment at its time."""
    rows = [(*routed, time_ms) for routed, time_ms in calls]
    await client.insert("default.sentinel_requests_raw_v1", rows, column_names=[*Routed._fields, "time"])


async def test_who_was_called_since_then_is_active(
    client: AsyncClient, log: ClickHouseRequests, workspace: str
) -> None:
    now = now_ms()
    at_the_time, later, often, before, never = (Routed(workspace, "proj", "env", f"d_{name}") for name in "tlobn")
    since = now - 6 * HOUR_MS
    await call(client, [(at_the_time, since), (later, now), (often, now), (often, since), (often, since - 1)])
    await call(client, [(before, since - 1)])

    asked = [at_the_time, later, often, before, never]
    assert await log.active(asked, since) == {"d_t", "d_l", "d_o"}
    assert await log.active(asked, since + 1) == {"d_l", "d_o"}
    assert await log.active([before, never], since) == set()


async def test_only_the_deployment_s_own_requests_count(
    client: AsyncClient, log: ClickHouseRequests, workspace: str
) -> None:
    now = now_ms()
    asked = Routed(workspace, "proj", "env", "d_1")
    await call(client, [(asked._replace(workspace_id=f"{workspace}_other"), now)])
    await call(client, [(asked._replace(project_id="other"), now), (asked._replace(environment_id="other"), now)])
    await call(client, [(asked._replace(deployment_id="d_2"), now)])
    assert await log.active([asked], now - HOUR_MS) == set()

    await call(client, [(asked, now)])
    assert await log.active([asked], now - HOUR_MS) == {"d_1"}


async def test_an_id_is_data_whatever_it_holds(client: AsyncClient, log: ClickHouseRequests, workspace: str) -> None:
    now = now_ms()
    odd = [Routed(workspace, "p\t'\"\\", "é\n{x:String}", f"d'); {name} --") for name in ("\0", "💡", "%00", "`")]
    await call(client, [(routed, now) for routed in odd])
    quiet = Routed(workspace, "p\t'\"\\", "é\n{x:String}", "quiet")

    assert await log.active([*odd, quiet], now) == {routed.deployment_id for routed in odd}


async def test_thousands_are_asked_about_at_once(client: AsyncClient, log: ClickHouseRequests, workspace: str) -> None:
    now = now_ms()
    asked = [Routed(workspace, f"proj_{n % 10:08}", f"env_{n % 100:08}", f"d_{n:08}") for n in range(MANY)]
    await call(client, [(routed, now) for routed in asked[::3]])

    found = await log.active(asked, now - HOUR_MS)

    assert found == {routed.deployment_id for routed in asked[::3]}
    assert (
        len(external_table(asked).files[0].data) > 128 * 1024
    )  # more than a parameter may hold (http_max_field_value_size)


async def test_questions_at_the_same_time_share_one_client(
    client: AsyncClient, log: ClickHouseRequests, workspace: str
) -> None:
    now = now_ms()
    asked = [Routed(workspace, "proj", "env", f"d_{number}") for number in range(8)]
    await call(client, [(routed, now) for routed in asked[::2]])

    answers = await asyncio.gather(*(log.active([routed], now) for routed in asked))

    assert answers == [{routed.deployment_id} if n % 2 == 0 else set() for n, routed in enumerate(asked)]


async def test_only_the_environments_in_question_are_read_and_only_from_that_time_on(
    client: AsyncClient, workspace: str
) -> None:
    rows, now = 200_000, now_ms()
    await client.command(
        "INSERT INTO default.sentinel_requests_raw_v1 (workspace_id, project_id, environment_id, deployment_id, time)"
        " SELECT {workspace:String}, 'proj', concat('env_', toString(number % 2)), 'd_1', {now:Int64} - number * 100"
        " FROM numbers({rows:UInt64})",
        parameters={"workspace": workspace, "now": now, "rows": rows},
    )
    await client.command("OPTIMIZE TABLE default.sentinel_requests_raw_v1 FINAL")
    asked = external_table([Routed(workspace, "proj", "env_1", "d_1")])
    since = {"since_ms": now - rows * 100 // 4}  # the latest quarter

    plan = await client.query(f"EXPLAIN indexes = 1 {ACTIVE_QUERY}", parameters=since, external_data=asked)

    lines = "\n".join(line for (line,) in plan.result_rows)
    primary_key = lines[lines.index("PrimaryKey") :]
    granules = re.search(r"Granules: (\d+)/(\d+)", primary_key)
    assert granules is not None, lines
    read, all_of_them = map(int, granules.groups())
    assert all_of_them >= rows // 8192
    assert read <= rows // 8 // 8192 + 3  # half of the rows are another environment's; and the edges


@pytest.mark.parametrize(
    ("limit", "error"),
    [
        ({"max_rows_to_read": 1, "read_overflow_mode": "break"}, 158),
        ({"max_rows_in_set": 1, "set_overflow_mode": "break"}, 191),
    ],
)
async def test_a_user_who_may_read_a_part_only_is_told_so(
    client: AsyncClient, workspace: str, limit: dict[str, object], error: int
) -> None:
    asked = [Routed(workspace, "proj", "env", f"d_{number}") for number in range(3)]
    await call(client, [(routed, now_ms()) for routed in asked])

    with pytest.raises(DatabaseError) as refused:
        await client.query(
            ACTIVE_QUERY, parameters={"since_ms": 0}, external_data=external_table(asked), settings=limit
        )
    assert refused.value.code == error
