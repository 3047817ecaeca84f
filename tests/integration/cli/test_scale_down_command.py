"""`scale-down`, with a ClickHouse that counts requests and without one."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from service.analytics.dsn import parse
from service.analytics.requests import Routed
from service.clock import now_ms
from service.database import tables
from service.dev.clickhouse import ClickHouseServer
from service.dev.stack import LocalStack
from service.dev.visits import log_visit
from tests.command import Ended, hydra
from tests.installation import Installation, stack_options
from tests.previews import insert_previews
from tests.servers.mariadb import MariaDB

PREVIEWS = 5


@pytest.fixture(scope="module")
async def counted(
    server: MariaDB | None, clickhouse: ClickHouseServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Installation]:
    """Run an installation of this module's own, whose previews are all that there are."""
    folder = tmp_path_factory.mktemp("counted")
    dsn = await server.create_database() if server else ""
    async with Installation(LocalStack(folder, stack_options(folder, dsn, clickhouse_url=clickhouse.url))) as running:
        yield running


async def test_a_sweep_is_surveyed_and_then_done_as_surveyed(
    counted: Installation, clickhouse: ClickHouseServer
) -> None:
    world = await counted.world(regions=("nowhere-1",), apps=("quiet",))
    inserted = await insert_previews(counted.database, world, environments=PREVIEWS, each=1)
    idle, called, live, recent, resting = inserted.deployment_ids
    app_id = (await counted.row(tables.deployments, id=live))["app_id"]
    await counted.set(tables.apps, {"id": app_id}, current_deployment_id=live)
    await counted.set(tables.deployments, {"id": recent}, updated_at=now_ms())
    await counted.set(tables.deployments, {"id": resting}, desired_state="standby")
    environment_id = inserted.environment_ids[inserted.deployment_ids.index(called)]
    visited = Routed(world.workspace_id, world.project_id, environment_id, called)
    await log_visit(parse(clickhouse.url), visited, now_ms())

    async def sweep(*options: str) -> Ended:
        environ = {"HYDRA_CLICKHOUSE__URL": clickhouse.url}
        return await hydra("scale-down", "--config", counted.stack.config_file, *options, environ=environ)

    async def desired() -> dict[str, str]:
        return {row["id"]: row["desired_state"] for row in await counted.rows(tables.deployments)}

    before = await desired()
    told, surveyed = await asyncio.gather(sweep("--dry-run"), sweep("--dry-run", "--json"))
    assert (told.code, told.err, surveyed.code, surveyed.err) == (0, "", 0, "")
    fates = {preview["deployment_id"]: preview["fate"] for preview in surveyed.document}
    assert fates == {idle: "idle", called: "active", live: "live", recent: "recent"}
    assert {preview["app"].rpartition("/")[0] for preview in surveyed.document} == {f"{world.workspace_slug}/shop"}
    assert told.out.endswith("1 of 4 running previews would be put to standby\n")
    assert await desired() == before

    done = await sweep()
    again = await sweep("--json")

    assert (done.code, done.err, again.code) == (0, "", 0)
    assert done.out.startswith("looked at 2 previews in 1 page, put 1 to standby, in ")
    assert again.document["detail"] == {"pages": 1, "failed_pages": 0, "looked_at": 1, "stopped": 0}
    assert await desired() == before | {idle: "standby"}


async def test_without_clickhouse_nothing_is_called_idle(installation: Installation) -> None:
    config = ("--config", installation.stack.config_file)
    done, planned = await asyncio.gather(hydra("scale-down", *config), hydra("scale-down", *config, "--dry-run"))
    assert [(end.code, end.out) for end in (done, planned)] == [(1, "")] * 2
    assert done.err == planned.err
    assert done.err == (
        "hydra-deploy: without ClickHouse nobody can tell which deployments are idle: set clickhouse.url "
        "[CLICKHOUSE_NOT_CONFIGURED]\n"
    )


async def test_a_clickhouse_that_is_away_is_said(counted: Installation) -> None:
    config = ("--config", counted.stack.config_file)
    world = await counted.world(regions=("nowhere-1",), apps=("quiet",))
    await insert_previews(counted.database, world, environments=1, each=1)
    environ = {"HYDRA_CLICKHOUSE__URL": "http://user:secret@127.0.0.1:1/default"}
    ended = await hydra("scale-down", "--dry-run", *config, environ=environ)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "hydra-deploy: ClickHouse is not available at the moment [CLICKHOUSE_UNAVAILABLE]\n"
