"""`start`, against a running installation: what is ready and rests runs again."""

from collections.abc import AsyncIterator

import pytest

from service.database import tables
from tests.command import Ended, hydra
from tests.inside_caller import InsideCaller
from tests.installation import Installation
from tests.integration.test_desired_state import ARCHIVED, STANDBY, desired, schedule, until_desired, until_instances

pytestmark = pytest.mark.usefixtures("in_order")


@pytest.fixture(scope="module")
async def inside(installation: Installation) -> AsyncIterator[InsideCaller]:
    async with InsideCaller(installation) as caller:
        yield caller


async def start(installation: Installation, deployment_id: str) -> Ended:
    return await hydra("start", deployment_id, "--config", installation.stack.config_file)


async def stopped(installation: Installation, inside: InsideCaller, state: int) -> str:
    """Deploy a preview, and stop that by hand."""
    preview = await installation.deployed(await installation.world(), "preview")
    await schedule(inside, preview, state, delay_ms=0)
    await until_desired(installation, preview, "archived" if state == ARCHIVED else "standby", "stopped")
    await until_instances(installation, preview, 0)
    return preview


async def test_what_rests_runs_when_the_command_ends(installation: Installation, inside: InsideCaller) -> None:
    preview = await stopped(installation, inside, STANDBY)

    told = await start(installation, preview)

    assert (told.code, told.err) == (0, "")
    assert preview in told.out
    assert await desired(installation, preview) == ("running", {"running"})
    instances = await installation.rows(tables.instances, deployment_id=preview)
    assert len([row for row in instances if row["status"] == "running"]) >= 2


async def test_what_is_not_there_cannot_be_started(installation: Installation) -> None:
    told = await start(installation, "d_of_nobody")

    assert (told.code, told.out) == (1, "")
    assert told.err == "hydra-deploy: the deployment 'd_of_nobody' does not exist [DEPLOYMENT_NOT_FOUND]\n"


@pytest.mark.parametrize("status", ["pending", "failed"])
async def test_what_was_never_ready_is_refused_and_not_deployed(installation: Installation, status: str) -> None:
    world = await installation.world()
    deployment_id = await installation.deployment(world)
    await installation.set(tables.deployments, {"id": deployment_id}, status=status)

    told = await start(installation, deployment_id)

    assert (told.code, told.out) == (1, "")
    assert told.err.startswith("hydra-deploy: ")
    assert f"is {status}" in told.err
    assert (await installation.status(deployment_id), await installation.routes(world)) == (status, {})
    assert await installation.rows(tables.hydra_operations, deployment_id=deployment_id) == []


async def test_what_is_archived_is_refused(installation: Installation, inside: InsideCaller) -> None:
    preview = await stopped(installation, inside, ARCHIVED)

    told = await start(installation, preview)

    assert (told.code, told.out) == (1, "")
    assert told.err.endswith(" [ARCHIVED]\n")
    assert await desired(installation, preview) == ("archived", {"stopped"})
