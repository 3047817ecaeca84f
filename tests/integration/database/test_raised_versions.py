"""Versions after a restore: every region's counter and rows are above what agents have seen, in the same order."""

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database import versions
from service.database.engine import Database
from service.database.migrations import migrate
from service.database.tables import deployment_topology, hydra_region_versions, regions
from service.database.versions import Raised

FLOOR = 1_000_000


@pytest.fixture
async def migrated(database: Database) -> Database:
    await migrate(database)
    return database


async def region(database: Database, region_id: str, counter: int | None, *stamped: int) -> None:
    """Make a region with a counter, and topologies d0, d1 and so on with these versions."""

    async def work(conn: AsyncConnection) -> None:
        await conn.execute(regions.insert().values(id=region_id, name=f"name of {region_id}", platform="aws"))
        if counter is not None:
            await conn.execute(hydra_region_versions.insert().values(region_id=region_id, version=counter))
        for number, version in enumerate(stamped):
            row = {"workspace_id": "w", "deployment_id": f"d{number}", "region_id": region_id, "created_at": 1}
            row |= {"desired_replicas": 1, "desired_status": "running", "version": version}
            await conn.execute(deployment_topology.insert().values(row))

    await database.transact(work)


async def stamps(database: Database, region_id: str) -> list[int]:
    table = deployment_topology
    query = select(table.c.version).where(table.c.region_id == region_id).order_by(table.c.deployment_id)
    return list(await database.read(lambda conn: conn.scalars(query)))


async def raised(database: Database, floor: int = FLOOR) -> list[Raised]:
    return await database.transact(lambda conn: versions.raise_all(conn, floor))


async def test_rows_keep_their_order_above_the_floor(migrated: Database) -> None:
    await region(migrated, "r1", 10, 7, 3, 10)
    assert await raised(migrated) == [Raised("name of r1", 10, FLOOR + 8)]
    assert await stamps(migrated, "r1") == [FLOOR + 5, FLOOR + 1, FLOOR + 8]


async def test_again_and_with_a_clock_that_was_set_back(migrated: Database) -> None:
    await region(migrated, "r1", 3, 1, 2, 3)
    for floor in (FLOOR, FLOOR, FLOOR + 1, 1):
        (before,) = await raised(migrated, 0)
        (after,) = await raised(migrated, floor)
        assert after.after > before.after
        assert await stamps(migrated, "r1") == [after.after - 2, after.after - 1, after.after]


async def test_a_region_is_raised_with_its_own_rows_only(migrated: Database) -> None:
    await region(migrated, "r1", 10, 4)
    await region(migrated, "r2", 2 * FLOOR, 5, 6)
    await region(migrated, "r3", 30)
    assert [each.after for each in await raised(migrated)] == [FLOOR + 1, 2 * FLOOR + 2, FLOOR]
    assert await stamps(migrated, "r2") == [2 * FLOOR + 1, 2 * FLOOR + 2]


async def test_a_counter_that_began_after_the_backup_begins_above_as_well(migrated: Database) -> None:
    await region(migrated, "r1", 10)
    await region(migrated, "r2", None)
    assert [each.after for each in await raised(migrated)] == [FLOOR, FLOOR]


async def test_where_another_worker_counts_nothing_is_changed(migrated: Database) -> None:
    await region(migrated, "r1", None, 4)
    assert await raised(migrated) == []
    assert await stamps(migrated, "r1") == [4]


async def test_a_counter_behind_its_rows_is_found_and_cured(migrated: Database) -> None:
    await region(migrated, "r1", 10, 11)
    await region(migrated, "r2", 11, 11)
    await region(migrated, "r3", None, 11)
    assert await migrated.read(versions.behind) == ["r1"]
    await raised(migrated)
    assert await migrated.read(versions.behind) == []
