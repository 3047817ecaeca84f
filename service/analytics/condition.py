"""What ClickHouse says of itself: for who looks after an installation."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from clickhouse_connect.driver.asyncclient import AsyncClient

from service.analytics.client import connect, unavailable
from service.analytics.dsn import ClickHouseDsn
from service.errors import Transient

_WITHIN = timedelta(seconds=8)


@dataclass(frozen=True)
class Condition:
    """A server's version, its clock in Unix milliseconds, and why a table cannot be read, by table; empty where it can.

    The tables are those that this service reads and writes, and what each is for.
    """

    version: str
    clock_ms: int
    tables: dict[str, str]


TABLES = {
    "default.sentinel_requests_raw_v1": "which previews are idle",
    "default.build_steps_v1": "the steps of builds",
    "default.build_step_logs_v1": "what builds write",
}


async def condition(dsn: ClickHouseDsn) -> Condition:
    """Look, reading not a single row. Raises Transient where nobody answers, or the user is refused."""
    try:
        async with asyncio.timeout(_WITHIN.total_seconds()):
            client = await connect(dsn)
            try:
                return await _look(client)
            finally:
                await client.close()
    except Transient:
        raise
    except Exception as error:  # noqa: BLE001 - the library lets errors of its transport through, of many kinds
        failure = unavailable(error, "system.one")
    raise failure  # out here, so that what it quotes is not chained to it


async def _look(client: AsyncClient) -> Condition:
    said = await client.query("SELECT version(), toUnixTimestamp64Milli(now64(3))")
    version, clock_ms = said.result_rows[0]
    return Condition(str(version), int(clock_ms), {table: await _fault(client, table) for table in TABLES})


async def _fault(client: AsyncClient, table: str) -> str:
    try:
        await client.query(f"SELECT * FROM {table} LIMIT 0")  # noqa: S608 - one of TABLES
    except Exception as error:  # noqa: BLE001 - as above
        return unavailable(error, table).message
    return ""
