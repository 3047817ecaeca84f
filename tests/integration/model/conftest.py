from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from service.dev.clickhouse import ClickHouseServer
from tests.inside_caller import InsideCaller
from tests.integration.model.both import Both
from tests.integration.model.driver import Driver
from tests.integration.model.expected import REGIONS
from tests.outage import Cut, impatient
from tests.servers.mariadb import MariaDB

# No time comes by itself: a deploy that waits goes on waiting, and a scheduled stop is delivered by the test.
SLOW = {"health_timeout": '"10m"', "standby_delay": '"1h"'}
NO_BOUNDS = {"quota_cpu_millicores": 10**6, "quota_memory_mib": 10**6}

MakeBoth = Callable[[], Coroutine[Any, Any, Both]]


@pytest.fixture(scope="session")
async def patient(
    server: MariaDB | None, clickhouse: ClickHouseServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Cut]:
    """Run an installation in which nothing happens but what a test does."""
    async with impatient(server, tmp_path_factory.mktemp("patient"), SLOW, clickhouse.url) as running:
        yield running


@pytest.fixture(scope="session")
async def make_both(patient: Cut) -> AsyncIterator[MakeBoth]:
    """Make an app of its own, of which nothing is there yet, and its model."""
    async with InsideCaller(patient.installation) as inside:

        async def make() -> Both:
            world = await patient.installation.world(regions=REGIONS, **NO_BOUNDS)
            return Both(Driver(patient, inside, world))

        yield make


@pytest.fixture
async def both(make_both: MakeBoth) -> AsyncIterator[Both]:
    made = await make_both()
    yield made
    await made.driver.close()
