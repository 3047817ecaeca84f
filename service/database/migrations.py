"""What the database must hold before the service runs: it creates that, and it tells what is missing.

Tables of the reference are created in a database that has none of them, and never altered (06 · decision 8).
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from hashlib import sha256

from sqlalchemy import Connection, Inspector, Table, UniqueConstraint, inspect, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.clock import now_ms
from service.database import versions
from service.database.engine import Database
from service.database.tables import hydra_builds, hydra_schema, ours, reference
from service.database.tables.types import Choice
from service.errors import FailedPrecondition, Transient

_BOUND = timedelta(minutes=5)
_LOCK_WAIT_SECONDS = 60

# A mark in `hydra_schema` while the reference's tables are being created: MySQL commits after every table, and
# whoever comes after a crash has to tell our half from somebody else's.
_REFERENCE_BEGUN = 0


@dataclass(frozen=True)
class MigrationReport:
    """What `migrate` did: the reference's tables it created, sorted, and the versions it applied, ascending."""

    reference_tables: tuple[str, ...] = ()
    versions: tuple[int, ...] = ()


def _first_tables(connection: Connection) -> None:
    ours.create_all(connection)


def _builds(connection: Connection) -> None:
    hydra_builds.create(connection, checkfirst=True)


# Our schema, step by step. A step may meet its own work: a crash, or tables created after a later step was
# written, which are as new as the code. A number is never used again.
_STEPS: tuple[tuple[int, Callable[[Connection], None]], ...] = ((1, _first_tables), (2, _builds))


async def migrate(db: Database) -> MigrationReport:
    """Create what is missing of ours and, in a database without any, the reference's tables.

    It may run again, and in several processes at once. Raises FailedPrecondition, and changes nothing, where the
    database has some of the reference's tables but not all; raises Transient as `Database.transact`.
    """

    async def work(connection: AsyncConnection) -> MigrationReport:
        async with _alone(connection):
            return await connection.run_sync(_migrate)

    return await db.transact(work, bound=_BOUND)


async def raise_versions(db: Database) -> list[versions.Raised]:
    """Raise all counters above what agents can have seen, after the database was restored from a backup.

    That is the clock's milliseconds: no region takes a number in each of them. Raises Transient.
    """
    return await db.transact(partial(versions.raise_all, floor=now_ms()), bound=_BOUND)


async def check_schema(db: Database) -> list[str]:
    """Return what the database lacks for serving, in sentences; empty when all is there."""
    return await db.read(lambda connection: connection.run_sync(_faults), bound=_BOUND)


@asynccontextmanager
async def _alone(connection: AsyncConnection) -> AsyncIterator[None]:
    """Keep other migrations of this database out. On SQLite the transaction does that already."""
    if connection.dialect.name == "sqlite":
        yield
        return
    schema = await connection.scalar(text("SELECT DATABASE()"))
    # Named locks are the server's, not the schema's, and their names are short.
    lock = {"name": f"hydra-migrate-{sha256(str(schema).encode()).hexdigest()[:32]}", "wait": _LOCK_WAIT_SECONDS}
    if await connection.scalar(text("SELECT GET_LOCK(:name, :wait)"), lock) != 1:
        raise Transient("another migration of this database is still running", reason="MIGRATION_RUNNING")
    try:
        yield
    finally:
        if not connection.invalidated:
            await connection.execute(text("SELECT RELEASE_LOCK(:name)"), {"name": lock["name"]})


def _migrate(connection: Connection) -> MigrationReport:
    created = _create_reference(connection)
    applied = _versions(connection)
    missing = [(version, step) for version, step in _STEPS if version not in applied]
    for version, step in missing:
        step(connection)
        _mark(connection, version)
    return MigrationReport(created, tuple(version for version, _ in missing))


def _create_reference(connection: Connection) -> tuple[str, ...]:
    missing = sorted(reference.tables.keys() - inspect(connection).get_table_names())
    if not missing:
        return ()
    begun = _REFERENCE_BEGUN in _versions(connection)
    if len(missing) < len(reference.tables) and not begun:
        raise FailedPrecondition(
            "the database has a part of the reference's tables, and a migration does not repair those. "
            f"Missing: {', '.join(missing)}",
            reason="SCHEMA_INCOMPLETE",
        )
    hydra_schema.create(connection, checkfirst=True)
    if not begun:
        _mark(connection, _REFERENCE_BEGUN)
    reference.create_all(connection)
    connection.execute(hydra_schema.delete().where(hydra_schema.c.version == _REFERENCE_BEGUN))
    return tuple(missing)


def _mark(connection: Connection, version: int) -> None:
    connection.execute(hydra_schema.insert().values(version=version, applied_at=now_ms()))


def _versions(connection: Connection) -> set[int]:
    """Read the versions applied; none where our tables do not exist yet."""
    if not inspect(connection).has_table(hydra_schema.name):
        return set()
    return set(connection.scalars(select(hydra_schema.c.version)))


def _faults(connection: Connection) -> list[str]:
    inspector = inspect(connection)
    present = set(inspector.get_table_names())
    tables = [*reference.tables.values(), *ours.tables.values()]
    faults = [f"the table {table.name} is missing" for table in tables if table.name not in present]
    for table in tables:
        if table.name in present:
            faults += _faults_of(inspector, table)
    applied = _versions(connection)
    faults += [f"version {version} of our own tables is missing" for version, _ in _STEPS if version not in applied]
    return faults


def _faults_of(inspector: Inspector, table: Table) -> Iterator[str]:
    """Yield what a table lacks: columns, words of an ENUM, unique keys. More than we know is none of our business."""
    columns = {column["name"]: column["type"] for column in inspector.get_columns(table.name)}
    for column in table.columns:
        if column.name not in columns:
            yield f"the table {table.name} has no column {column.name}"
        words = getattr(columns.get(column.name), "enums", None)
        if isinstance(column.type, Choice) and words is not None:
            for word in sorted(set(column.type.words) - set(words)):
                yield f"the column {table.name}.{column.name} cannot be {word!r}"
    unique = [set(found["column_names"]) for found in inspector.get_unique_constraints(table.name)]
    for constraint in table.constraints:
        names = constraint.columns.keys() if isinstance(constraint, UniqueConstraint) else []
        if names and set(names) not in unique:
            yield f"the table {table.name} has no unique key on {', '.join(names)}"
