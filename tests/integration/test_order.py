"""What runs together, what waits, and who wins: 06 · L1, L2, T9, T10 and two deploys of one app at once."""

import asyncio

import grpc.aio
import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database import tables
from service.database.dsn import parse
from service.database.engine import Database
from service.dev.workload import AgentBehaviour
from tests.installation import IMAGE, Installation, deploy_request
from tests.waiting import appears, until

DEPLOY = "/hydra.v1.DeployService/{key}/Deploy"

pytestmark = pytest.mark.usefixtures("in_order")


async def test_a_call_for_nothing_is_refused_while_another_deploy_of_the_key_runs(installation: Installation) -> None:
    """06 · L1: neither waits for the other, though both have the same Restate key."""
    world = await installation.world()
    deployment_id = await installation.deployment(world)
    async with installation.held("await healthy regions.before") as reached:
        running = asyncio.ensure_future(
            installation.stub.Deploy(
                deploy_request(deployment_id), timeout=30, metadata=[("x-restate-key", world.workspace_id)]
            )
        )
        await appears(reached)
        unknown = {"deploymentId": "d_none", "dockerImage": {"image": IMAGE}}
        answer = await installation.ingress(DEPLOY.format(key=world.workspace_id), unknown)
        assert answer.status == 404
        assert not running.done()
    await running


async def test_a_deploy_waits_for_no_other_of_its_key(installation: Installation) -> None:
    """06 · L2: a long wait of app A holds up neither app B nor another deploy of A."""
    world = await installation.world(apps=("default", "api"))
    slow = await installation.deployment(world, "preview")
    for agent in installation.agents.values():
        agent.behave(AgentBehaviour(dead=True), slow)
    key = world.workspace_id
    waiting = asyncio.ensure_future(installation.deploy(slow, x_restate_key=key))
    while await installation.status(slow) != "deploying":
        await asyncio.sleep(0.01)

    await installation.deploy(await installation.deployment(world, app="api"), x_restate_key=key)
    await installation.deploy(await installation.deployment(world), x_restate_key=key)

    assert not waiting.done()
    with pytest.raises(grpc.aio.AioRpcError):
        await waiting


async def test_of_two_production_deploys_the_newer_wins_though_the_older_ends_last(installation: Installation) -> None:
    """06 · T9: routes and pointer stay with the newer, and the older is ready all the same."""
    world = await installation.world()
    older = await installation.deployment(world, created_at_ms=1_000)
    newer = await installation.deployment(world, created_at_ms=2_000)
    for agent in installation.agents.values():
        agent.behave(AgentBehaviour(dead=True), older)
    late = asyncio.ensure_future(installation.deploy(older))
    while await installation.status(older) != "deploying":
        await asyncio.sleep(0.01)
    await installation.deploy(newer)
    for agent in installation.agents.values():
        agent.behave(AgentBehaviour(), older)
    await late

    routes = await installation.routes(world)
    assert await installation.live(world) == newer
    assert routes[f"shop-{world.workspace_slug}"] == newer
    assert routes[f"shop-production-{world.workspace_slug}"] == newer
    assert await installation.status(older) == "ready"
    assert (await installation.row(tables.deployments, id=newer))["desired_state"] == "running"


@pytest.mark.parametrize("created_at_ms", [(1_000, 2_000), (2_000, 1_000), (1_000, 1_000)])
async def test_two_deploys_of_one_app_at_once_agree_on_who_is_live(
    installation: Installation, created_at_ms: tuple[int, int]
) -> None:
    world = await installation.world()
    ids = [await installation.deployment(world, created_at_ms=created) for created in created_at_ms]

    await asyncio.gather(*(installation.deploy(deployment_id) for deployment_id in ids))

    winner = max(zip(created_at_ms, ids, strict=True))[1]
    routes = await installation.routes(world)
    assert await installation.live(world) == winner
    assert {routes[f"shop-{world.workspace_slug}"], routes[f"shop-production-{world.workspace_slug}"]} == {winner}
    assert [await installation.status(deployment_id) for deployment_id in ids] == ["ready", "ready"]


async def test_nobody_ever_sees_half_a_switch(installation: Installation) -> None:
    """06 · T10: read from a second connection, routes and pointer are all the old ones or all the new ones."""
    world = await installation.world()
    custom = await installation.deployed(world)
    await add_custom_domains(installation, custom, count=20)
    database = await Database.open(parse(installation.stack.dsn))
    seen: set[tuple[str, ...]] = set()
    done = asyncio.Event()

    async def look(conn: AsyncConnection) -> tuple[str, ...]:
        routes, apps = tables.frontline_routes, tables.apps
        query = (
            select(routes.c.deployment_id, apps.c.current_deployment_id)
            .join(apps, apps.c.id == routes.c.app_id)
            .where(routes.c.app_id == world.app.id, routes.c.sticky.in_(["live", "environment"]))
            .distinct()
        )
        return tuple(sorted({str(value) for row in await conn.execute(query) for value in row}))

    async def watch() -> None:
        while not done.is_set():
            seen.add(await database.read(look))

    async def was_seen(owner: str) -> bool:
        return (owner,) in seen or watching.done()

    watching = asyncio.ensure_future(watch())
    owners = [custom]
    for _ in range(3):
        await until(lambda: was_seen(owners[-1]))  # a watcher that is slow proves nothing
        owners.append(await installation.deployed(world))
    await until(lambda: was_seen(owners[-1]))
    done.set()
    await watching
    await database.close()

    assert seen == {(owner,) for owner in owners}


async def add_custom_domains(installation: Installation, deployment_id: str, count: int) -> None:
    """Add the rows that the custom-domain worker adds: sticky `live`."""
    deployment = await installation.row(tables.deployments, id=deployment_id)
    rows = [
        {
            "id": f"flr_{deployment_id}{number}",
            "project_id": deployment["project_id"],
            "app_id": deployment["app_id"],
            "deployment_id": deployment_id,
            "environment_id": deployment["environment_id"],
            "fully_qualified_domain_name": f"{number}.{deployment_id}.example.com",
            "sticky": "live",
            "created_at": 1,
        }
        for number in range(count)
    ]
    await installation.database.transact(lambda conn: conn.execute(tables.frontline_routes.insert(), rows))
