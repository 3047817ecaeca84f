import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.servers.mariadb import MariaDB, MariaDBMissing

from service.dev.restate import RestateOptions
from service.dev.stack import LocalStack, StackOptions
from tests.faulty_service import FOLDER as FAULTS
from tests.installation import Installation

QUICK = {
    "health_timeout": '"3s"',
    "health_poll": '"20ms"',
    "health_flap_steady": '"1s"',
    "standby_delay": '"1500ms"',
    "step_timeout": '"60s"',
}


@pytest.fixture(scope="session")
async def mariadb(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[MariaDB]:
    """Run one MariaDB server for all tests. Where none can be had they are skipped, but never in CI."""
    try:
        server = MariaDB(tmp_path_factory.mktemp("mariadb"))
        await server.start()
    except MariaDBMissing as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))
    yield server
    await server.stop()


@pytest.fixture(scope="session", params=["sqlite", "mariadb"])
def server(request: pytest.FixtureRequest) -> MariaDB | None:
    """Name the database of a test: a MariaDB server, or None for SQLite."""
    return request.getfixturevalue("mariadb") if request.param == "mariadb" else None


@pytest.fixture(scope="session")
async def installation(
    server: MariaDB | None, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Installation]:
    """Run an installation on each database; tests share it and keep apart by workspaces of their own."""
    folder = tmp_path_factory.mktemp("installation")
    options = StackOptions(
        dsn=await server.create_database() if server else "",
        deploy=QUICK,
        restate=RestateOptions(fsync=False),
        serve=(sys.executable, str(Path(__file__).parents[1] / "faulty_service.py")),
        environ={FAULTS: str(folder), "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    async with Installation(LocalStack(folder, options)) as running:
        yield running
