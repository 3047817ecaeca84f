"""Topologies in a region that is in no table any more and has no counter: what stops them starts one."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import grpc.aio
import pytest
from hydra.v1 import deploy_pb2, deployment_pb2

from service.clock import now_ms
from service.database import tables
from service.dev.clickhouse import ClickHouseServer
from service.dev.stack import LocalStack
from tests.inside_caller import InsideCaller
from tests.installation import HEARS_IN_A_STEP, Installation, stack_options
from tests.integration.reconciling.rounds import found_of
from tests.integration.reconciling.test_dead_operations import ended, under_way
from tests.integration.test_scale_down import age, called
from tests.previews import LONG_AGO_MS
from tests.servers.mariadb import MariaDB
from tests.waiting import appears, comes

WITHIN_S = 20
VERSION = 41  # of an earlier worker, which counted elsewhere
MINUTE_MS = 60_000
STANDBY = deployment_pb2.DEPLOYMENT_DESIRED_STATE_STANDBY


@pytest.fixture(scope="module")
async def asked(
    server: MariaDB | None, clickhouse: ClickHouseServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Installation]:
    """Run an installation that sweeps, and gives a step up after a moment."""
    folder = tmp_path_factory.mktemp("asked")
    dsn = await server.create_database() if server else ""
    options = stack_options(folder, dsn, {"step_timeout": '"3s"'}, clickhouse.url)
    async with Installation(LocalStack(folder, options)) as running:
        yield running


async def placed_nowhere(installation: Installation, deployment_id: str) -> str:
    """Set a deployment running in a region that nobody knows; returns the region."""
    region_id = f"rgn_{uuid4().hex[:8]}"
    deployment = await installation.row(tables.deployments, id=deployment_id)
    row = {
        "workspace_id": deployment["workspace_id"],
        "deployment_id": deployment_id,
        "region_id": region_id,
        "desired_replicas": 1,
        "version": VERSION,
        "desired_status": "running",
        "created_at": now_ms(),
    }
    await installation.database.transact(lambda conn: conn.execute(tables.deployment_topology.insert().values(row)))
    return region_id


async def assert_stopped(installation: Installation, deployment_id: str, region_id: str) -> None:
    rows = await installation.rows(tables.deployment_topology, deployment_id=deployment_id)
    assert {row["desired_status"] for row in rows} == {"stopped"}
    (there,) = [row for row in rows if row["region_id"] == region_id]
    assert there["version"] > VERSION
    counter = await installation.row(tables.hydra_region_versions, region_id=region_id)
    assert counter["version"] == there["version"]


async def is_failed(installation: Installation, deployment_id: str) -> bool:
    return await installation.status(deployment_id) == "failed"


async def row_of(installation: Installation, deployment_id: str) -> dict[str, Any]:
    return await installation.row(tables.deployments, id=deployment_id)


async def test_a_sweep_stops_an_idle_preview_there_and_all_others(
    asked: Installation, clickhouse: ClickHouseServer
) -> None:
    worlds = [await asked.world() for _ in range(3)]
    previews = [await asked.deployed(world, "preview") for world in worlds]
    busy = await asked.deployed(worlds[0], "preview")
    region_id = await placed_nowhere(asked, previews[1])
    for deployment_id in (*previews, busy):
        await age(asked, deployment_id, LONG_AGO_MS, LONG_AGO_MS)
    await called(clickhouse, [(await row_of(asked, busy), MINUTE_MS)])

    await asked.stub.ScaleDownIdlePreviewDeployments(
        deploy_pb2.ScaleDownIdlePreviewDeploymentsRequest(), timeout=WITHIN_S
    )

    for deployment_id in previews:
        assert (await row_of(asked, deployment_id))["desired_state"] == "standby"
        rows = await asked.rows(tables.deployment_topology, deployment_id=deployment_id)
        assert {row["desired_status"] for row in rows} == {"stopped"}
    await assert_stopped(asked, previews[1], region_id)
    assert (await row_of(asked, busy))["desired_state"] == "running"
    (operation,) = await asked.rows(tables.hydra_operations, kind="scale_down")
    assert (operation["state"], operation["detail"]["stopped"]) == ("succeeded", len(previews))


async def test_a_dead_deploy_is_stopped_there_too(asked: Installation) -> None:
    deployment_id = await asked.deployment(await asked.world())
    async with under_way(asked, deployment_id, "await healthy regions.before") as operation:
        await asked.kill(operation)
        await ended(asked, operation)
    region_id = await placed_nowhere(asked, deployment_id)

    assert await found_of(asked, operation) == [("OPERATION_KILLED", "SETTLED")]

    assert await is_failed(asked, deployment_id)
    await assert_stopped(asked, deployment_id, region_id)


async def test_a_deploy_that_is_undone_stops_there_too(asked: Installation) -> None:
    deployment_id = await asked.deployment(await asked.world())
    async with asked.held("await healthy regions.before") as reached:
        call = asyncio.ensure_future(asked.deploy(deployment_id, timeout=WITHIN_S))
        await appears(reached)
        region_id = await placed_nowhere(asked, deployment_id)
        operation = await asked.operation(deployment_id)
        await asked.cancel(operation)
        if HEARS_IN_A_STEP:
            await asyncio.wait({call}, timeout=WITHIN_S)
    try:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call
        assert raised.value.code() is grpc.StatusCode.CANCELLED
        assert await is_failed(asked, deployment_id)
        await assert_stopped(asked, deployment_id, region_id)
    finally:
        await asked.kill(operation)  # an undo is tried again for a day


async def test_a_change_of_what_is_desired_stops_there_too(asked: Installation) -> None:
    deployment_id = await asked.deployed(await asked.world(), "preview")
    region_id = await placed_nowhere(asked, deployment_id)
    request = deployment_pb2.ScheduleDesiredStateChangeRequest(delay_millis=0, state=STANDBY)
    async with InsideCaller(asked) as inside:
        await inside.call("hydra.v1.DeploymentService", "ScheduleDesiredStateChange", deployment_id, request)

    async def rests() -> bool:
        return bool((await row_of(asked, deployment_id))["desired_state"] == "standby")

    assert await comes(rests, WITHIN_S)
    await assert_stopped(asked, deployment_id, region_id)
