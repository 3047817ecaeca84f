"""The database of a command that looks or writes once: it is there now, with all its tables, or it is not."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from service.config import Settings
from service.database.dsn import parse as parse_dsn
from service.database.engine import Database
from service.database.migrations import check_schema
from service.errors import FailedPrecondition, NotFound

_FAULTS_SHOWN = 3


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[Database]:
    """Open the primary database, without waiting for it to come up, and check that it was migrated.

    Raises Transient where it does not answer, NotFound for a SQLite file that does not exist, FailedPrecondition
    for one that lacks tables.
    """
    dsn = parse_dsn(settings.database.primary.get_secret_value())
    if dsn.dialect == "sqlite" and not Path(dsn.database).exists():
        # Opening it would create it.
        raise NotFound(f"there is no database {dsn.database}: create it with `hydra-deploy migrate`", reason="NO_DATABASE")
    database = Database(dsn)
    try:
        await database.ping()
        if faults := await check_schema(database):
            raise FailedPrecondition(_lacking(faults), reason="SCHEMA_MISSING")
        yield database
    finally:
        await database.close()


def _lacking(faults: list[str]) -> str:
    said = "; ".join(faults[:_FAULTS_SHOWN])
    if len(faults) > _FAULTS_SHOWN:
        said += f"; and {len(faults) - _FAULTS_SHOWN} more"
    return f"the database is not ready: {said}: run `hydra-deploy migrate`"
