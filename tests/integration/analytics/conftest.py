import secrets
from collections.abc import AsyncIterator

import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient

from service.analytics.client import connect
from service.analytics.dsn import ClickHouseDsn, parse
from service.dev.clickhouse import ClickHouseServer


@pytest.fixture
def dsn(clickhouse: ClickHouseServer) -> ClickHouseDsn:
    return parse(clickhouse.url)


@pytest.fixture
async def client(dsn: ClickHouseDsn) -> AsyncIterator[AsyncClient]:
    client = await connect(dsn)
    yield client
    await client.close()


@pytest.fixture
def workspace() -> str:
    return f"ws_{secrets.token_hex(4)}"
