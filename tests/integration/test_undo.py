"""An operation that failed is undone as a whole, however long the database is away meanwhile.

The steps of this installation give up after two seconds. What they may never do is to undo one half of it.
Deploys and rollbacks in the short mode; promotes, too, with HYDRA_TEST_FULL=1.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable

import grpc.aio
import pytest

from service.database import tables
from tests.installation import Installation, hears_in_a_step
from tests.integration.test_traffic import assert_live, desired, promote, rests, rollback, two_deployed
from tests.invariants import holds
from tests.outage import Cut, impatient
from tests.servers.mariadb import MariaDB
from tests.waiting import appears

pytestmark = pytest.mark.usefixtures("in_order")

FULL = bool(os.environ.get("HYDRA_TEST_FULL"))


@pytest.fixture(scope="module")
async def cut(server: MariaDB | None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cut]:
    """Run an installation of this module's own, on each database."""
    async with impatient(server, tmp_path_factory.mktemp("cut")) as running:
        yield running


async def cancelled_while_the_database_is_away(cut: Cut, call: Awaitable[None], kind: str, deployment_id: str) -> None:
    """Make a call, and cancel it once it has moved the traffic, with the database away for longer than every budget."""
    installation = cut.installation
    async with installation.held("switch traffic.after") as reached:
        calling = asyncio.ensure_future(call)
        await appears(reached)
        (operation,) = await installation.rows(tables.hydra_operations, kind=kind, deployment_id=deployment_id)
        async with cut.away():
            await installation.cancel(operation["id"])
            await asyncio.sleep(cut.seconds)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await calling
    assert raised.value.code() is grpc.StatusCode.CANCELLED
    record = await installation.row(tables.hydra_operations, id=operation["id"])
    assert record["state"] == "cancelled"


async def stopped(installation: Installation, deployment_id: str) -> None:
    """Wait until nothing of the deployment is set to run, and nothing shows."""
    topologies = await installation.rows(tables.deployment_topology, deployment_id=deployment_id)
    assert {row["desired_status"] for row in topologies} == {"stopped"}
    while await installation.rows(tables.instances, deployment_id=deployment_id):
        await asyncio.sleep(0.02)


@hears_in_a_step
async def test_a_deploy_is_undone_once_the_database_is_back(cut: Cut) -> None:
    """Its traffic first: nothing is stopped that still has it."""
    installation = cut.installation
    world = await installation.world()
    a, b = await installation.deployed(world), await installation.deployment(world)
    before = await installation.routes(world)

    await cancelled_while_the_database_is_away(cut, installation.deploy(b, timeout=90), "deploy", b)

    await assert_live(installation, world, a, rolled_back=False)
    assert {name: owner for name, owner in (await installation.routes(world)).items() if name in before} == before
    assert (await installation.status(a), await desired(installation, a)) == ("ready", "running")
    assert (await installation.status(b), await desired(installation, b)) == ("failed", "archived")
    await stopped(installation, b)
    (switch,) = await installation.rows(tables.hydra_traffic_switches, deployment_id=b)
    assert switch["reverted_at"] is not None
    await holds(installation, world, instances=True)


@hears_in_a_step
@pytest.mark.parametrize("kind", ["rollback", "promote"] if FULL else ["rollback"])
async def test_a_move_of_traffic_is_undone_once_the_database_is_back(cut: Cut, kind: str) -> None:
    """The target goes back to rest, as it was before."""
    installation = cut.installation
    world, a, b = await two_deployed(installation)
    await rests(installation, a)
    call = rollback(installation, b, a, timeout=90) if kind == "rollback" else promote(installation, a, timeout=90)

    await cancelled_while_the_database_is_away(cut, call, kind, a)

    await assert_live(installation, world, b, rolled_back=False)
    await rests(installation, a)
    await holds(installation, world, instances=True)
