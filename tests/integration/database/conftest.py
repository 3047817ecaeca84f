from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.database.dsn import Dsn, parse
from service.database.engine import Database
from tests.servers.mariadb import MariaDB


@pytest.fixture(params=["sqlite", "mariadb"])
def server(request: pytest.FixtureRequest) -> MariaDB | None:
    """Give the server of the test; SQLite has none. Not a coroutine: those cannot ask for other fixtures by name."""
    found: MariaDB | None = request.getfixturevalue("mariadb") if request.param == "mariadb" else None
    return found


@pytest.fixture
async def dsn(server: MariaDB | None, tmp_path: Path) -> Dsn:
    """Give an empty database to each test, on each kind of server."""
    return parse(await server.create_database() if server else f"sqlite:///{tmp_path / 'hydra.db'}")


@pytest.fixture
async def database(dsn: Dsn) -> AsyncIterator[Database]:
    """Open that database, still empty."""
    opened = await Database.open(dsn)
    yield opened
    await opened.close()


@pytest.fixture
async def mariadb_dsn(mariadb: MariaDB) -> Dsn:
    """Give an empty database on MariaDB."""
    return parse(await mariadb.create_database())


@pytest.fixture
async def own_mariadb(tmp_path: Path, mariadb: MariaDB) -> AsyncIterator[MariaDB]:  # noqa: ARG001 - skips as it does
    """Start a server for one test to stop, freeze and kill."""
    started = MariaDB(tmp_path / "mariadb")
    await started.start()
    yield started
    await started.stop()
