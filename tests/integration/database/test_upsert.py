from typing import Any

import pytest
from sqlalchemy import Table, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database.engine import Database
from service.database.failures import is_duplicate_key
from service.database.migrations import migrate
from service.database.tables import deployment_steps, deployment_topology, frontline_routes, hydra_region_versions
from service.database.upsert import insert_ignore, upsert

STEP = {"workspace_id": "w", "project_id": "p", "environment_id": "e", "deployment_id": "d", "app_id": "a"}
TOPOLOGY = {"workspace_id": "w", "desired_replicas": 1, "desired_status": "running", "created_at": 1}
ROUTE = {"project_id": "p", "app_id": "a", "environment_id": "e", "created_at": 1}


@pytest.fixture
async def migrated(database: Database) -> Database:
    await migrate(database)
    return database


async def rows(database: Database, table: Table, *columns: str) -> list[tuple[Any, ...]]:
    query = select(*(table.c[name] for name in columns)).order_by(table.primary_key.columns[0])
    return [tuple(row) for row in await database.read(lambda conn: conn.execute(query))]


async def test_a_row_that_is_there_is_updated(migrated: Database) -> None:
    async def begin(started_at: int, workspace_id: str) -> None:
        row = STEP | {"step": "starting", "started_at": started_at, "ended_at": None, "error": None}
        row["workspace_id"] = workspace_id
        await migrated.transact(
            lambda conn: upsert(
                conn, deployment_steps, row, key=("deployment_id", "step"), update=("started_at", "ended_at", "error")
            )
        )

    await begin(1, "w")
    await migrated.transact(lambda conn: conn.execute(deployment_steps.update().values(ended_at=2, error="broke")))
    await begin(3, "other")
    columns = ("pk", "workspace_id", "step", "started_at", "ended_at", "error")
    assert await rows(migrated, deployment_steps, *columns) == [(1, "w", "starting", 3, None, None)]


async def put(database: Database, *topologies: tuple[str, str, int, int]) -> None:
    values = [
        TOPOLOGY | {"deployment_id": deployment, "region_id": region, "version": version, "desired_replicas": replicas}
        for deployment, region, version, replicas in topologies
    ]

    async def work(conn: AsyncConnection) -> None:
        update = ("version", "desired_replicas")
        await upsert(conn, deployment_topology, values, key=("deployment_id", "region_id"), update=update)

    await database.transact(work)


TOPOLOGY_COLUMNS = ("deployment_id", "region_id", "version", "desired_replicas")


async def test_many_rows_new_and_old(migrated: Database) -> None:
    await put(migrated, ("d", "r1", 1, 1), ("d", "r2", 1, 1))
    await put(migrated, ("d", "r2", 5, 7), ("d", "r3", 5, 7), ("d", "r1", 2, 1))
    found = await rows(migrated, deployment_topology, *TOPOLOGY_COLUMNS)
    assert sorted(found) == [("d", "r1", 2, 1), ("d", "r2", 5, 7), ("d", "r3", 5, 7)]


async def test_a_stranger_met_in_another_key_is_an_error_and_stays(migrated: Database) -> None:
    await put(migrated, ("d1", "r", 1, 1))
    with pytest.raises(IntegrityError) as refused:
        await put(migrated, ("d2", "r", 1, 9), ("d2", "r2", 1, 9))
    assert is_duplicate_key(refused.value)
    assert await rows(migrated, deployment_topology, *TOPOLOGY_COLUMNS) == [("d1", "r", 1, 1)]


async def test_even_where_the_error_is_swallowed_the_stranger_stays(migrated: Database) -> None:
    await put(migrated, ("d1", "r", 1, 1))

    async def work(conn: AsyncConnection) -> None:
        row = TOPOLOGY | {"deployment_id": "d2", "region_id": "r", "version": 1, "desired_replicas": 9}
        with pytest.raises(IntegrityError):
            await upsert(
                conn,
                deployment_topology,
                row,
                key=("deployment_id", "region_id"),
                update=("version", "desired_replicas"),
            )

    await migrated.transact(work)
    assert await rows(migrated, deployment_topology, *TOPOLOGY_COLUMNS) == [("d1", "r", 1, 1)]


async def test_a_key_of_one_column(migrated: Database) -> None:
    async def work(conn: AsyncConnection) -> None:
        for name, deployment in (("a.example", "d1"), ("b.example", "d2")):
            row = ROUTE | {"id": "flr_1", "fully_qualified_domain_name": name, "deployment_id": deployment}
            await upsert(conn, frontline_routes, row, key=("id",), update=("deployment_id",))

    await migrated.transact(work)
    columns = ("fully_qualified_domain_name", "deployment_id", "sticky")
    assert await rows(migrated, frontline_routes, *columns) == [("a.example", "d2", "none")]


async def test_insert_ignore_leaves_what_is_there(migrated: Database) -> None:
    def counters(*versions: tuple[str, int]) -> list[dict[str, Any]]:
        return [{"region_id": region, "version": version} for region, version in versions]

    await migrated.transact(lambda conn: insert_ignore(conn, hydra_region_versions, counters(("r1", 1))))
    await migrated.transact(lambda conn: insert_ignore(conn, hydra_region_versions, counters(("r1", 9), ("r2", 2))))
    one = {"region_id": "r2", "version": 9}
    await migrated.transact(lambda conn: insert_ignore(conn, hydra_region_versions, one))
    assert await rows(migrated, hydra_region_versions, "region_id", "version") == [("r1", 1), ("r2", 2)]


async def test_insert_ignore_refuses_what_does_not_fit(migrated: Database) -> None:
    step = STEP | {"step": "starting", "started_at": None}
    with pytest.raises(IntegrityError) as refused:
        await migrated.transact(lambda conn: insert_ignore(conn, deployment_steps, step))
    assert not is_duplicate_key(refused.value)
