from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.database.dsn import parse
from service.database.engine import Database
from service.database.migrations import migrate
from tests.servers.mariadb import MariaDB


@pytest.fixture(params=["sqlite", "mariadb"])
def mariadb_or_none(request: pytest.FixtureRequest) -> MariaDB | None:
    """Choose the database; not a coroutine, because only so can it ask for a fixture that is one."""
    server: MariaDB | None = request.getfixturevalue("mariadb") if request.param == "mariadb" else None
    return server


@pytest.fixture
async def database(mariadb_or_none: MariaDB | None, tmp_path: Path) -> AsyncIterator[Database]:
    """Open an empty database with all tables."""
    dsn = await mariadb_or_none.create_database() if mariadb_or_none else f"sqlite:///{tmp_path / 'hydra.db'}"
    database = await Database.open(parse(dsn))
    await migrate(database)
    yield database
    await database.close()
