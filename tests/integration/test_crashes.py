"""The worker killed, and the database away, in the middle of a deploy: 06 · L3 and L5.

Three steps in the short mode; every step with HYDRA_TEST_FULL=1.
"""

import asyncio
import os
import sqlite3
from typing import Any

import pytest

from service.database import tables
from service.dev.world import World
from tests.installation import Installation, deploy_request
from tests.servers.mariadb import MariaDB

FULL = bool(os.environ.get("HYDRA_TEST_FULL"))
EVERY_STEP = [
    "claim deployment",
    "start deployment",
    "save image",
    "provision regions",
    "await healthy regions",
    "reserve names",
    "switch traffic",
]
STEPS = EVERY_STEP if FULL else ["provision regions", "reserve names", "switch traffic"]
OUTAGE_SECONDS = 20.0 if FULL else 2.0


async def shape(installation: Installation, world: World, deployment_id: str) -> dict[str, Any]:
    """Describe what a deploy left, without times and drawn ids."""
    routes = await installation.routes(world)
    topologies = await installation.rows(tables.deployment_topology, deployment_id=deployment_id)
    policies = await installation.rows(tables.cilium_network_policies, deployment_id=deployment_id)
    steps = await installation.steps(deployment_id)
    deployment = await installation.row(tables.deployments, id=deployment_id)
    operation = await installation.row(tables.hydra_operations, deployment_id=deployment_id)
    attempt = await installation.row(tables.hydra_deployment_attempts, deployment_id=deployment_id)
    return {
        "deployment": (deployment["status"], deployment["desired_state"], deployment["image"]),
        "steps": [(name, step["error"], step["ended_at"] is not None) for name, step in steps.items()],
        "topologies": sorted((row["region_id"], row["desired_status"]) for row in topologies),
        "policies": sorted((row["region_id"], row["k8s_name"].partition("-to-")[0]) for row in policies),
        "routes": sorted(name.replace(dashed(deployment_id), "<id>") for name in routes),
        "owners": set(routes.values()) == {deployment_id},
        "live": await installation.live(world) == deployment_id,
        "operation": operation["state"],
        "attempt": (attempt["attempt"], attempt["state"]),
        "switches": len(await installation.rows(tables.hydra_traffic_switches, deployment_id=deployment_id)),
    }


def dashed(deployment_id: str) -> str:
    return deployment_id.replace("_", "-")


async def versions_taken(installation: Installation, world: World) -> dict[str, int]:
    """Read how far each region's counter has come."""
    rows = await installation.rows(tables.hydra_region_versions)
    regions = {region.id for region in world.regions.values()}
    return {row["region_id"]: row["version"] for row in rows if row["region_id"] in regions}


@pytest.fixture(scope="session")
async def undisturbed(installation: Installation) -> dict[str, Any]:
    world = await installation.world()
    deployment_id = await installation.deployed(world)
    return {**await shape(installation, world, deployment_id), "workspace": world.workspace_slug}


def expected(undisturbed: dict[str, Any], world: World) -> dict[str, Any]:
    routes = [name.replace(undisturbed["workspace"], world.workspace_slug) for name in undisturbed["routes"]]
    return {**{name: value for name, value in undisturbed.items() if name != "workspace"}, "routes": sorted(routes)}


@pytest.mark.parametrize("point", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
async def test_a_killed_worker_leaves_the_same_rows_as_an_undisturbed_run(
    installation: Installation, undisturbed: dict[str, Any], step: str, point: str
) -> None:
    """06 · L5: `after` is between the commit of a step and its journal entry."""
    world = await installation.world()
    deployment_id = await installation.deployment(world)
    before = await versions_taken(installation, world)
    installation.kill_at(f"{step}.{point}")
    call = asyncio.ensure_future(
        installation.stub.Deploy(deploy_request(deployment_id), timeout=60, wait_for_ready=True)
    )
    while installation.stack.worker.exit_code is None:
        await asyncio.sleep(0.02)
    await asyncio.wait({call})  # the server is gone, and the caller's connection with it
    assert call.exception() is not None
    await installation.stack.start_worker()

    await installation.deploy(deployment_id, timeout=60)

    assert await shape(installation, world, deployment_id) == expected(undisturbed, world)
    taken = await versions_taken(installation, world)
    written = 4  # a topology, a sentinel and two policies in every region, and no number skipped
    assert {region: taken[region] - before[region] for region in taken} == dict.fromkeys(taken, written)


@pytest.mark.parametrize("step", STEPS)
async def test_a_deploy_outlives_an_outage_of_the_database(
    installation: Installation, server: MariaDB | None, undisturbed: dict[str, Any], step: str
) -> None:
    """06 · L3: the deploy is late by the outage and a few seconds, and no row is there twice."""
    world = await installation.world()
    deployment_id = await installation.deployment(world)
    async with installation.held(f"{step}.before") as reached:
        call = asyncio.ensure_future(installation.stub.Deploy(deploy_request(deployment_id), timeout=90))
        while not reached.exists():
            await asyncio.sleep(0.01)
        away = Outage(installation, server)
        await away.begin()
    await asyncio.sleep(OUTAGE_SECONDS)
    assert not call.done()
    await away.end()

    await call

    assert await shape(installation, world, deployment_id) == expected(undisturbed, world)


class Outage:
    """The database away: MariaDB stopped, SQLite's file locked by somebody else."""

    def __init__(self, installation: Installation, server: MariaDB | None) -> None:
        self._installation = installation
        self._server = server
        self._locker: sqlite3.Connection | None = None

    async def begin(self) -> None:
        if self._server is not None:
            await self._server.stop()
            return
        path = self._installation.stack.dsn.removeprefix("sqlite:///")
        self._locker = sqlite3.connect(path, timeout=60, isolation_level=None)
        self._locker.execute("BEGIN EXCLUSIVE")

    async def end(self) -> None:
        if self._server is not None:
            await self._server.start()
        if self._locker is not None:
            self._locker.execute("ROLLBACK")
            self._locker.close()
