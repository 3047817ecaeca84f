from collections.abc import AsyncIterator

import pytest

from service.dev.clickhouse import ClickHouseServer
from service.dev.stack import LocalStack
from tests.inside_caller import InsideCaller
from tests.installation import Installation, stack_options
from tests.servers.mariadb import MariaDB

# No time comes by itself: a deploy that waits goes on waiting, and a scheduled stop is delivered by the test.
SLOW = {"health_timeout": '"10m"', "standby_delay": '"1h"'}


@pytest.fixture(scope="session")
async def patient(
    server: MariaDB | None, clickhouse: ClickHouseServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Installation]:
    """Run an installation in which nothing happens but what a test does."""
    folder = tmp_path_factory.mktemp("patient")
    dsn = await server.create_database() if server else ""
    async with Installation(LocalStack(folder, stack_options(folder, dsn, SLOW, clickhouse.url))) as running:
        yield running


@pytest.fixture(scope="session")
async def inside(patient: Installation) -> AsyncIterator[InsideCaller]:
    async with InsideCaller(patient) as caller:
        yield caller
