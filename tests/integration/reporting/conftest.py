from collections.abc import AsyncIterator

import pytest

from tests.inside_caller import InsideCaller
from tests.reporting_site import ReportingSite, reporting_site
from tests.servers.mariadb import MariaDB


@pytest.fixture(scope="session")
async def reporting(server: MariaDB | None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ReportingSite]:
    """Run an installation that reports to GitHub, on each database."""
    dsn = await server.create_database() if server else ""
    async with reporting_site(tmp_path_factory.mktemp("reporting"), dsn) as running:
        yield running


@pytest.fixture(scope="module")
async def inside(reporting: ReportingSite) -> AsyncIterator[InsideCaller]:
    async with InsideCaller(reporting.installation) as caller:
        yield caller
