"""SQLite's file locked by somebody else in the middle of a deploy: 06 · L3. MariaDB's outages are in `tests/chaos`.

Three steps in the short mode; every step with HYDRA_TEST_FULL=1.
"""

import asyncio
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from service.database import tables
from service.dev.world import World
from tests.installation import Installation, deploy_request
from tests.waiting import appears

pytestmark = pytest.mark.parametrize("server", ["sqlite"], indirect=True, scope="session")

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


@pytest.fixture(scope="session")
async def undisturbed(installation: Installation) -> dict[str, Any]:
    world = await installation.world()
    deployment_id = await installation.deployed(world)
    return {**await shape(installation, world, deployment_id), "workspace": world.workspace_slug}


def expected(undisturbed: dict[str, Any], world: World) -> dict[str, Any]:
    routes = [name.replace(undisturbed["workspace"], world.workspace_slug) for name in undisturbed["routes"]]
    return {**{name: value for name, value in undisturbed.items() if name != "workspace"}, "routes": sorted(routes)}


def _locked(file: Path) -> sqlite3.Connection:
    locker = sqlite3.connect(file, timeout=60, isolation_level=None, check_same_thread=False)
    locker.execute("BEGIN EXCLUSIVE")
    return locker


@pytest.mark.parametrize("step", STEPS)
async def test_a_deploy_outlives_it(installation: Installation, undisturbed: dict[str, Any], step: str) -> None:
    """06 · L3: the deploy is late by the outage and a few seconds, and no row is there twice."""
    world = await installation.world()
    deployment_id = await installation.deployment(world)
    async with installation.held(f"{step}.before") as reached:
        call = asyncio.ensure_future(installation.stub.Deploy(deploy_request(deployment_id), timeout=90))
        await appears(reached)
        # In a thread: an agent of this process may hold a lock that it lets go of only while its loop runs.
        locker = await asyncio.to_thread(_locked, Path(installation.stack.dsn.removeprefix("sqlite:///")))
    try:
        await asyncio.sleep(OUTAGE_SECONDS)
        assert not call.done()
    finally:
        locker.execute("ROLLBACK")
        locker.close()

    await call

    assert await shape(installation, world, deployment_id) == expected(undisturbed, world)
