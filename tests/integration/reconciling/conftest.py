"""An installation of its own: a round of the reconciler finds what any test has left."""

from collections.abc import AsyncIterator

import pytest

from tests.reporting_site import ReportingSite, reporting_site
from tests.servers.mariadb import MariaDB


@pytest.fixture(scope="session")
async def reconciled(server: MariaDB | None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ReportingSite]:
    """Run an installation that goes no rounds by itself, on each database."""
    dsn = await server.create_database() if server else ""
    patient = {"HYDRA_DEPLOY__HEALTH_TIMEOUT": "30s"}  # what waits is to wait until it is found
    async with reporting_site(tmp_path_factory.mktemp("reconciled"), dsn, patient) as running:
        yield running
