"""What the tests of crashes share: the installation that is crashed, and the matrix that is printed at the end."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.dev.clickhouse import ClickHouseServer
from tests.chaos.crashes.matrix import Cell, written
from tests.chaos.crashes.site import CrashSite, crash_site
from tests.servers.mariadb import MariaDB

_FILE = "HYDRA_TEST_CRASH_MATRIX"  # where the matrix goes, as a table in Markdown


@pytest.fixture(scope="session")
async def crashing(
    mariadb: MariaDB, clickhouse: ClickHouseServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[CrashSite]:
    """Run an installation whose worker and Restate server are killed time and again."""
    dsn = await mariadb.create_database()
    async with crash_site(tmp_path_factory.mktemp("crashing"), dsn, clickhouse.url) as site:
        yield site


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the matrix of what was crashed where; the reports of a parallel run bring the cells along."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    cells = [Cell(*value) for report in reports for name, value in report.user_properties if name == "crash"]
    if not cells:
        return
    table = written(cells)
    terminalreporter.section("crashes: step x fault")
    terminalreporter.write_line(table)
    if os.environ.get(_FILE):
        Path(os.environ[_FILE]).write_text(table)
