"""`cancel`, in each phase of a deploy: 06 · L7."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from service.database import tables
from service.dev.stack import LocalStack
from service.dev.workload import AgentBehaviour
from tests.command import Ended, hydra, hydra_running
from tests.installation import Installation, hears_in_a_step, stack_options
from tests.integration.reconciling.test_dead_operations import BODY, DEPLOY, act, ended, under_way
from tests.servers.mariadb import MariaDB
from tests.waiting import appears, until

FULL = bool(os.environ.get("HYDRA_TEST_FULL"))
EVERY_POINT = [
    *("claim deployment.before", "start deployment.before", "start deployment.after", "save image.after"),
    *("provision regions.before", "provision regions.after", "await healthy regions.before"),
    *("reserve names.before", "reserve names.after", "switch traffic.before"),
]
POINTS = EVERY_POINT if FULL else ["claim deployment.before", "provision regions.after", "switch traffic.before"]

pytestmark = pytest.mark.parametrize("server", ["mariadb"], indirect=True, scope="session")


@pytest.fixture(scope="module")
async def unhurried(server: MariaDB, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    """Run an installation where a deploy waits for longer than a command takes to start."""
    folder = tmp_path_factory.mktemp("unhurried")
    dsn = await server.create_database()
    async with Installation(LocalStack(folder, stack_options(folder, dsn, {"health_timeout": '"30s"'}))) as running:
        yield running


async def cancel(installation: Installation, deployment_id: str, *options: str) -> Ended:
    return await hydra("cancel", deployment_id, "--config", installation.stack.config_file, *options)


async def assert_undone(installation: Installation, deployment_id: str) -> None:
    """Nothing of it runs or is open, and its operation says that it was cancelled."""
    assert await installation.status(deployment_id) == "failed"
    for topology in await installation.rows(tables.deployment_topology, deployment_id=deployment_id):
        assert topology["desired_status"] == "stopped"
    for step in (await installation.steps(deployment_id)).values():
        assert step["ended_at"] is not None
    (operation,) = await installation.rows(tables.hydra_operations, deployment_id=deployment_id)
    assert (operation["state"], operation["reason"]) == ("cancelled", "CANCELLED")
    attempt = await installation.row(tables.hydra_deployment_attempts, deployment_id=deployment_id)
    assert attempt["state"] == "failed"


@hears_in_a_step
@pytest.mark.parametrize("point", POINTS)
async def test_in_the_middle_of_a_step(unhurried: Installation, point: str) -> None:
    world = await unhurried.world()
    live = await unhurried.deployed(world)
    routes = await unhurried.routes(world)
    deployment_id = await unhurried.deployment(world)
    async with under_way(unhurried, deployment_id, point) as operation:
        told = await cancel(unhurried, deployment_id, "--json")

    assert (told.code, told.err) == (0, "")
    document = told.document
    assert (document["status"], document["operations"]) == ("failed", [operation])
    assert "cancelled" in document["error"]
    await assert_undone(unhurried, deployment_id)
    kept = {name: owner for name, owner in (await unhurried.routes(world)).items() if name in routes}
    assert (kept, await unhurried.live(world)) == (routes, live)


async def test_what_has_its_traffic_is_not_cancelled_any_more(unhurried: Installation) -> None:
    """The switch has been made, although its answer is still on its way."""
    world = await unhurried.world()
    deployment_id = await unhurried.deployment(world)
    async with under_way(unhurried, deployment_id, "switch traffic.after") as operation:
        told = await cancel(unhurried, deployment_id)
    await ended(unhurried, operation)

    assert (told.code, told.out) == (1, "")
    assert "is ready: there is nothing to cancel [NOTHING_TO_CANCEL]" in told.err
    assert (await unhurried.live(world), await unhurried.status(deployment_id)) == (deployment_id, "ready")


@hears_in_a_step
async def test_while_it_waits_for_instances(unhurried: Installation) -> None:
    world = await unhurried.world()
    deployment_id = await unhurried.deployment(world)
    for agent in unhurried.agents.values():
        agent.behave(AgentBehaviour(dead=True), deployment_id)
    await unhurried.ingress(DEPLOY, {"deploymentId": deployment_id, "dockerImage": BODY})
    await until(lambda: _is(unhurried, deployment_id, "deploying"))

    told = await cancel(unhurried, deployment_id)

    assert told.code == 0
    assert told.out == f"{deployment_id} is failed: the operation was cancelled by an operator\n"
    await assert_undone(unhurried, deployment_id)


async def _is(installation: Installation, deployment_id: str, status: str) -> bool:
    return await installation.status(deployment_id) == status


async def _is_placed(installation: Installation, deployment_id: str) -> bool:
    return bool(await installation.rows(tables.deployment_topology, deployment_id=deployment_id))


async def test_a_second_cancel_does_not_cut_off_what_the_first_has_undone(unhurried: Installation) -> None:
    world = await unhurried.world()
    deployment_id = await unhurried.deployment(world)
    for agent in unhurried.agents.values():
        agent.behave(AgentBehaviour(dead=True), deployment_id)
    await unhurried.ingress(DEPLOY, {"deploymentId": deployment_id, "dockerImage": BODY})
    await until(lambda: _is(unhurried, deployment_id, "deploying"))
    async with unhurried.held("undo deploy.before") as reached:
        first = asyncio.ensure_future(cancel(unhurried, deployment_id))
        await appears(reached)
        for _ in range(2):
            assert (await cancel(unhurried, deployment_id, "--no-wait")).code == 0

    assert (await first).code == 0
    await assert_undone(unhurried, deployment_id)


async def test_one_that_is_scheduled_for_later_never_begins(unhurried: Installation) -> None:
    world = await unhurried.world()
    deployment_id = await unhurried.deployment(world)
    answer = await unhurried.ingress(f"{DEPLOY}?delay=600s", {"deploymentId": deployment_id, "dockerImage": BODY})

    told = await cancel(unhurried, deployment_id, "--json")

    assert (told.code, told.document["operations"]) == (0, [answer.body["invocationId"]])
    await assert_undone(unhurried, deployment_id)
    known = await unhurried.admin_query(f"select id from sys_invocation where id = '{answer.body['invocationId']}'")
    assert known == []
    await unhurried.deploy(deployment_id)  # and it may be tried again
    assert await unhurried.status(deployment_id) == "ready"


async def test_one_that_nobody_has_asked_to_deploy(unhurried: Installation) -> None:
    world = await unhurried.world()
    deployment_id = await unhurried.deployment(world)

    told = await cancel(unhurried, deployment_id, "--json")

    assert (told.code, told.document["operations"]) == (0, [])
    await assert_undone(unhurried, deployment_id)


async def test_one_that_is_paused(unhurried: Installation) -> None:
    world = await unhurried.world()
    deployment_id = await unhurried.deployment(world)
    for agent in unhurried.agents.values():
        agent.behave(AgentBehaviour(dead=True), deployment_id)
    answer = await unhurried.ingress(DEPLOY, {"deploymentId": deployment_id, "dockerImage": BODY})
    await until(lambda: _is_placed(unhurried, deployment_id))
    await act(unhurried, answer.body["invocationId"], "pause")

    assert (await cancel(unhurried, deployment_id)).code == 0

    # A step that was taken up again may be over before Restate has told the attempt of its cancellation.
    assert await unhurried.status(deployment_id) == "failed"
    topologies = await unhurried.rows(tables.deployment_topology, deployment_id=deployment_id)
    assert {row["desired_status"] for row in topologies} == {"stopped"}


async def test_what_is_not_there_cannot_be_cancelled(unhurried: Installation) -> None:
    unknown = await cancel(unhurried, "d_of_nobody")

    assert unknown.code == 1
    assert "[DEPLOYMENT_NOT_FOUND]" in unknown.err


async def test_one_that_was_killed_is_the_reconcilers(unhurried: Installation) -> None:
    world = await unhurried.world()
    deployment_id = await unhurried.deployment(world)
    async with under_way(unhurried, deployment_id, "provision regions.after") as operation:
        await unhurried.kill(operation)
        await ended(unhurried, operation)

    told = await cancel(unhurried, deployment_id)

    assert told.code == 1
    assert "[OPERATION_DIED]" in told.err


@pytest.fixture
async def without_worker(unhurried: Installation) -> AsyncIterator[Installation]:
    """Stop the worker, and start it again."""
    async with AsyncExitStack() as stack:
        await unhurried.stack.stop_worker()
        stack.push_async_callback(_started, unhurried)
        yield unhurried


async def _started(installation: Installation) -> None:
    if installation.stack.worker.exit_code is not None:
        await installation.stack.start_worker()


async def test_one_that_waits_for_a_worker_ends_when_there_is_one(without_worker: Installation) -> None:
    installation = without_worker
    world = await installation.world()
    deployment_id = await installation.deployment(world)
    await installation.ingress(DEPLOY, {"deploymentId": deployment_id, "dockerImage": BODY})
    async with hydra_running("cancel", deployment_id, "--config", installation.stack.config_file) as running:
        await running.wrote("it is being undone")
        await installation.stack.start_worker()
        told = await running.ended()

    assert told.code == 0
    await assert_undone(installation, deployment_id)
