"""The database of a command that looks or writes once: it is there now, with all its tables, or it is not."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from service.config import Settings
from service.database.dsn import Dsn
from service.database.dsn import parse as parse_dsn
from service.database.engine import Database
from service.database.migrations import check_schema
from service.errors import FailedPrecondition, NotFound, Transient

_FAULTS_SHOWN = 3


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[Database]:
    """Open the primary database, without waiting for it to come up, and check that it was migrated.

    Raises Transient where it does not answer, NotFound for a SQLite file that does not exist, FailedPrecondition
    for one that lacks tables.
    """
    dsn = parse_dsn(settings.database.primary.get_secret_value())
    _insist_on_file(dsn)
    database = Database(dsn)
    try:
        await _insist_on_answer(database, dsn)
        if faults := await check_schema(database):
            raise FailedPrecondition(_lacking(faults), reason="SCHEMA_MISSING")
        yield database
    finally:
        await database.close()


def _insist_on_file(dsn: Dsn) -> None:
    """Refuse a SQLite file that is not there: opening it would create it."""
    if dsn.dialect == "sqlite" and not Path(dsn.database).exists():
        raise NotFound(
            f"there is no database {dsn.database}: create it with `hydra-deploy migrate`", reason="NO_DATABASE"
        )


async def _insist_on_answer(database: Database, dsn: Dsn) -> None:
    try:
        await database.ping()
    except Transient as error:
        # Here the reader is who wrote the configuration, so the place may be named.
        place = dsn.database if dsn.dialect == "sqlite" else dsn.unix_socket or f"{dsn.host}:{dsn.port}"
        raise Transient(f"{error.message}; database.primary names {place}", reason=error.reason) from None


def _lacking(faults: list[str]) -> str:
    said = "; ".join(faults[:_FAULTS_SHOWN])
    if len(faults) > _FAULTS_SHOWN:
        said += f"; and {len(faults) - _FAULTS_SHOWN} more"
    return f"the database is not ready: {said}: run `hydra-deploy migrate`"
