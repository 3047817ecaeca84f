"""The sample world: complete, the same when it is seeded again, and a place where deployments can be created."""

import json
import re
from dataclasses import asdict, replace
from typing import Any

import pytest
from sqlalchemy import Table, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database import tables
from service.database.engine import Database
from service.dev.world import DeploymentSpec, RuntimeSpec, WorldSpec, create_deployment, seed
from service.errors import NotFound

SPEC = WorldSpec(workspace="seeded", project="shop", apps=("default", "api"), replicas=2)
SEEDED = (
    tables.workspaces,
    tables.quota,
    tables.projects,
    tables.apps,
    tables.environments,
    tables.regions,
    tables.app_runtime_settings,
    tables.app_build_settings,
    tables.app_regional_settings,
)


async def rows(database: Database, table: Table, **where: str) -> list[dict[str, Any]]:
    async def read(conn: AsyncConnection) -> list[dict[str, Any]]:
        return [row._asdict() for row in await conn.execute(select(table).filter_by(**where))]

    return await database.read(read)


async def counts(database: Database) -> dict[str, int]:
    async def read(conn: AsyncConnection) -> dict[str, int]:
        return {table.name: int(await conn.scalar(select(func.count()).select_from(table)) or 0) for table in SEEDED}

    return await database.read(read)


async def test_it_holds_all_that_a_deploy_looks_for(database: Database) -> None:
    world = await seed(database, SPEC)

    (workspace,) = await rows(database, tables.workspaces, id=world.workspace_id)
    assert (workspace["slug"], workspace["k8s_namespace"], workspace["plan"]) == ("seeded", None, "free")
    (quota,) = await rows(database, tables.quota, workspace_id=world.workspace_id)
    assert (quota["allocated_cpu_millicores_total"], quota["allocated_memory_mib_total"]) == (10240, 20480)
    (project,) = await rows(database, tables.projects, id=world.project_id)
    assert (project["workspace_id"], project["slug"]) == (world.workspace_id, "shop")
    assert list(world.apps) == ["default", "api"]
    assert list(world.app.environments) == ["production", "preview"]
    for app in world.apps.values():
        (row,) = await rows(database, tables.apps, id=app.id)
        assert (row["project_id"], row["slug"], row["current_deployment_id"]) == (world.project_id, app.slug, None)
        for slug, environment_id in app.environments.items():
            (row,) = await rows(database, tables.environments, id=environment_id)
            assert (row["app_id"], row["slug"]) == (app.id, slug)
            key = {"app_id": app.id, "environment_id": environment_id}
            (row,) = await rows(database, tables.app_runtime_settings, **key)
            assert (row["port"], row["command"], row["healthcheck"]) == (8080, [], None)
            (row,) = await rows(database, tables.app_build_settings, **key)
            assert (row["dockerfile"], row["watch_paths"]) == ("Dockerfile", [])
            regional = await rows(database, tables.app_regional_settings, **key)
            assert {row["region_id"] for row in regional} == {region.id for region in world.regions.values()}
            assert {row["replicas"] for row in regional} == {2}
    for name, region in world.regions.items():
        (row,) = await rows(database, tables.regions, id=region.id)
        assert (row["name"], row["platform"], row["can_schedule"]) == (name, "sim", True)


async def test_ids_have_the_formats_of_the_reference(database: Database) -> None:
    world = await seed(database, SPEC)
    region = world.regions["us-east-1"]

    for id_, prefix in (
        (world.workspace_id, "ws"),
        (world.project_id, "proj"),
        (world.app.id, "app"),
        (world.app.environments["preview"], "env"),
        (region.id, "rgn"),
        (await create_deployment(database, world.app.id, world.app.environments["preview"]), "d"),
    ):
        assert re.fullmatch(rf"{prefix}_[A-Za-z0-9]{{8}}", id_)


async def test_seeding_again_changes_nothing(database: Database) -> None:
    first = await seed(database, SPEC)
    before = await counts(database)

    assert await seed(database, SPEC) == first
    assert await counts(database) == before


async def test_seeding_more_adds_to_what_is_there(database: Database) -> None:
    first = await seed(database, SPEC)

    more = await seed(database, replace(SPEC, apps=("api", "worker"), regions=("us-east-1", "sa-east-1")))

    assert more.workspace_id == first.workspace_id
    assert more.apps["api"] == first.apps["api"]
    assert more.apps["worker"].id not in {app.id for app in first.apps.values()}
    assert more.regions["us-east-1"] == first.regions["us-east-1"]
    regional = await rows(database, tables.app_regional_settings, app_id=more.apps["api"].id)
    assert len(regional) == 2 * 4


async def test_an_app_may_have_no_region(database: Database) -> None:
    world = await seed(database, WorldSpec(workspace="nowhere", regions=()))

    assert world.regions == {}
    assert await rows(database, tables.app_regional_settings, app_id=world.app.id) == []


async def test_it_is_written_as_json(database: Database) -> None:
    world = await seed(database, SPEC)

    assert json.loads(json.dumps(asdict(world)))["apps"]["api"]["id"] == world.apps["api"].id


async def test_a_deployment_takes_a_copy_of_the_settings(database: Database) -> None:
    healthcheck: dict[str, str | int] = {"method": "GET", "path": "/up", "intervalSeconds": 5}
    runtime = RuntimeSpec(3000, 500, 1024, ("serve", "--fast"), healthcheck, "SIGINT", b"\x00\xff")
    world = await seed(database, replace(SPEC, workspace="copied", runtime=runtime))
    spec = DeploymentSpec(git_commit_sha="a" * 40, git_branch="main", pr_number=7, created_at_ms=1234)

    id_ = await create_deployment(database, world.app.id, world.app.environments["production"], spec)

    (row,) = await rows(database, tables.deployments, id=id_)
    assert re.fullmatch(r"[a-z][a-z0-9]{11}", row.pop("k8s_name"))
    row.pop("pk")
    assert row == {
        "id": id_,
        "workspace_id": world.workspace_id,
        "project_id": world.project_id,
        "environment_id": world.app.environments["production"],
        "app_id": world.app.id,
        "image": None,
        "build_id": None,
        "git_commit_sha": "a" * 40,
        "git_branch": "main",
        "git_commit_message": None,
        "git_commit_author_handle": None,
        "git_commit_author_avatar_url": None,
        "git_commit_timestamp": None,
        "sentinel_config": b"\x00\xff",
        "cpu_millicores": 500,
        "memory_mib": 1024,
        "desired_state": "running",
        "encrypted_environment_variables": b"",
        "command": ["serve", "--fast"],
        "port": 3000,
        "shutdown_signal": "SIGINT",
        "healthcheck": healthcheck,
        "pr_number": 7,
        "fork_repository_full_name": None,
        "github_deployment_id": None,
        "status": "pending",
        "created_at": 1234,
        "updated_at": None,
    }


@pytest.mark.parametrize("missing", ["app", "environment"])
async def test_a_deployment_of_nothing_is_refused(database: Database, missing: str) -> None:
    world = await seed(database, SPEC)
    ids = {"app": world.app.id, "environment": world.app.environments["preview"]} | {missing: "x_missing"}

    with pytest.raises(NotFound, match="x_missing"):
        await create_deployment(database, ids["app"], ids["environment"])
