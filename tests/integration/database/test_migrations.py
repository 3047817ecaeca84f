import asyncio
import re

import pytest
from sqlalchemy import MetaData, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database import tables
from service.database.dsn import Dsn
from service.database.engine import Database
from service.database.migrations import MigrationReport, check_schema, migrate
from service.errors import FailedPrecondition

ALL = tuple(sorted(tables.reference.tables))


async def table_names(database: Database) -> set[str]:
    return set(await database.read(lambda conn: conn.run_sync(lambda sync: inspect(sync).get_table_names())))


async def create(database: Database, metadata: MetaData, *names: str) -> None:
    wanted = [metadata.tables[name] for name in names]
    await database.transact(lambda conn: conn.run_sync(metadata.create_all, wanted))


async def run(database: Database, *statements: str) -> None:
    async def work(conn: AsyncConnection) -> None:
        for statement in statements:
            await conn.execute(text(statement))

    await database.transact(work)


async def test_an_empty_database_gets_everything_once(database: Database) -> None:
    assert await check_schema(database) != []
    assert await migrate(database) == MigrationReport(ALL, (1, 2))
    assert await migrate(database) == MigrationReport()
    assert await table_names(database) == {*tables.reference.tables, *tables.ours.tables}
    assert await check_schema(database) == []


async def test_several_at_once(dsn: Dsn) -> None:
    databases = [await Database.open(dsn) for _ in range(4)]
    reports = await asyncio.gather(*(migrate(database) for database in databases))
    assert sorted(report.versions for report in reports) == [(), (), (), (1, 2)]
    assert sorted(report.reference_tables for report in reports) == [(), (), (), ALL]
    assert await check_schema(databases[0]) == []
    for database in databases:
        await database.close()


async def test_other_tables_are_no_obstacle(database: Database) -> None:
    await run(database, "CREATE TABLE audit_log (id int)")
    assert (await migrate(database)).reference_tables == ALL
    assert "audit_log" in await table_names(database)


async def test_a_complete_reference_gets_ours_only(database: Database) -> None:
    await create(database, tables.reference, *ALL)
    assert await migrate(database) == MigrationReport((), (1, 2))
    assert await check_schema(database) == []


async def test_a_part_of_the_reference_is_refused_and_left_alone(database: Database) -> None:
    await create(database, tables.reference, *(name for name in ALL if name not in {"apps", "quota"}))
    before = await table_names(database)
    with pytest.raises(FailedPrecondition, match=re.escape("Missing: apps, quota")) as refused:
        await migrate(database)
    assert refused.value.reason == "SCHEMA_INCOMPLETE"
    assert await table_names(database) == before
    assert "the table apps is missing" in await check_schema(database)


async def test_a_creation_that_broke_off_is_finished(database: Database) -> None:
    """MySQL keeps each table of a migration that dies; the mark tells them from somebody else's."""
    await create(database, tables.ours, "hydra_schema")
    await run(database, "INSERT INTO hydra_schema VALUES (0, 1)")
    await create(database, tables.reference, "apps", "projects")
    report = await migrate(database)
    assert report.reference_tables == tuple(name for name in ALL if name not in {"apps", "projects"})
    assert await check_schema(database) == []
    await run(database, "DROP TABLE apps")
    with pytest.raises(FailedPrecondition):
        await migrate(database)


async def test_the_lock_ends_with_the_migration(mariadb_dsn: Dsn) -> None:
    database = await Database.open(mariadb_dsn)
    await create(database, tables.reference, "apps")
    with pytest.raises(FailedPrecondition):
        await migrate(database)
    await run(database, "DROP TABLE apps")
    other = await Database.open(mariadb_dsn)
    async with asyncio.timeout(10):
        assert (await migrate(other)).versions == (1, 2)
    await other.close()
    await database.close()


async def test_faults_are_told_by_name(mariadb_dsn: Dsn) -> None:
    database = await Database.open(mariadb_dsn)
    await migrate(database)
    await run(
        database,
        "ALTER TABLE apps DROP COLUMN is_rolled_back",
        "ALTER TABLE deployments MODIFY status ENUM('pending','ready') NOT NULL",
        "ALTER TABLE deployment_steps DROP KEY unique_step_per_deployment",
        "DROP TABLE hydra_region_versions",
        "DELETE FROM hydra_schema",
    )
    faults = await check_schema(database)
    assert "the table apps has no column is_rolled_back" in faults
    assert "the column deployments.status cannot be 'failed'" in faults
    assert "the table deployment_steps has no unique key on deployment_id, step" in faults
    assert "the table hydra_region_versions is missing" in faults
    assert "version 1 of our own tables is missing" in faults
    assert len([fault for fault in faults if "deployments.status" in fault]) == 8
    await database.close()


async def test_a_database_of_an_earlier_release_gets_what_is_new(database: Database) -> None:
    await migrate(database)
    await run(database, "DROP TABLE hydra_builds", "DELETE FROM hydra_schema WHERE version = 2")
    assert await check_schema(database) == [
        "the table hydra_builds is missing",
        "version 2 of our own tables is missing",
    ]

    assert await migrate(database) == MigrationReport((), (2,))
    assert await check_schema(database) == []
