"""Deploys that get no place, or lose one that is not the live one: they come to rest too (06 · T4, T9)."""

import asyncio

from hydra.v1 import deploy_pb2

from service.database import tables
from service.dev.workload import AgentBehaviour
from service.dev.world import World
from tests.installation import Installation
from tests.integration.reconciling.test_lost import remove
from tests.waiting import comes

DELAY_S = 2  # longer than the installation's standby delay
WITHIN_S = 30
ENVIRONMENTS = ("production", "preview", "staging")


async def rollback(installation: Installation, source: str, target: str) -> None:
    request = deploy_pb2.RollbackRequest(source_deployment_id=source, target_deployment_id=target)
    await installation.stub.Rollback(request, timeout=60)


async def promote(installation: Installation, target: str) -> None:
    await installation.stub.Promote(deploy_pb2.PromoteRequest(target_deployment_id=target), timeout=60)


async def desired(installation: Installation, deployment_id: str) -> str:
    return str((await installation.row(tables.deployments, id=deployment_id))["desired_state"])


async def rests(installation: Installation, deployment_id: str) -> None:
    """Wait until the deployment rests and the agents have seen to it, but not for ever."""

    async def at_rest() -> bool:
        rows = await installation.rows(tables.instances, deployment_id=deployment_id)
        return await desired(installation, deployment_id) == "standby" and not rows

    assert await comes(at_rest, WITHIN_S), f"{deployment_id} runs on"


async def runs_on(installation: Installation, *deployment_ids: str) -> None:
    """Give them longer than the standby delay, and see that they run."""
    await asyncio.sleep(DELAY_S)
    for deployment_id in deployment_ids:
        assert await desired(installation, deployment_id) == "running"
        assert await installation.rows(tables.instances, deployment_id=deployment_id)


async def overtaken(installation: Installation, world: World, environment: str = "production") -> tuple[str, str]:
    """Deploy twice, of which the older one finishes last; returns the older and the newer."""
    older = await installation.deployment(world, environment, created_at_ms=1_000)
    newer = await installation.deployment(world, environment, created_at_ms=2_000)
    for agent in installation.agents.values():
        agent.behave(AgentBehaviour(dead=True), older)
    late = asyncio.ensure_future(installation.deploy(older))

    async def waits() -> bool:
        return await installation.status(older) == "deploying"

    assert await comes(waits, WITHIN_S)
    await installation.deploy(newer)
    for agent in installation.agents.values():
        agent.behave(AgentBehaviour(), older)
    await late
    return older, newer


async def rolled_back(installation: Installation) -> tuple[World, str, str, str]:
    """Deploy twice, roll back and deploy again; returns what is live, where that came from, and what has no place."""
    world = await installation.world()
    old, new = await installation.deployed(world), await installation.deployed(world)
    await rollback(installation, new, old)
    return world, old, new, await installation.deployed(world)


# ------------------------------------------------------------------------------------------ T9: an older one ends last


async def test_an_older_deploy_that_finishes_last_rests_after_a_while(installation: Installation) -> None:
    world = await installation.world()
    older, newer = await overtaken(installation, world)

    assert await installation.status(older) == "ready"
    assert set((await installation.routes(world)).values()) >= {older, newer}  # one by its own names
    await rests(installation, older)
    assert await installation.status(older) == "ready"
    assert await installation.live(world) == newer
    assert await desired(installation, newer) == "running"


async def test_an_older_deploy_that_rested_can_be_gone_back_to(installation: Installation) -> None:
    world = await installation.world()
    older, newer = await overtaken(installation, world)
    await rests(installation, older)

    await rollback(installation, newer, older)

    assert await installation.live(world) == older
    await runs_on(installation, older, newer)


async def test_an_older_deploy_that_is_gone_back_to_in_time_does_not_rest(installation: Installation) -> None:
    world = await installation.world()
    older, newer = await overtaken(installation, world)

    await rollback(installation, newer, older)

    assert await installation.live(world) == older
    await runs_on(installation, older, newer)


# ------------------------------------------------------------------------------------- T4: deployed while rolled back


async def test_a_deploy_while_rolled_back_runs_until_the_rollback_is_confirmed(installation: Installation) -> None:
    world, old, new, unrouted = await rolled_back(installation)
    await runs_on(installation, old, new, unrouted)

    await promote(installation, old)

    await rests(installation, new)
    await rests(installation, unrouted)
    assert await installation.live(world) == old
    assert await desired(installation, old) == "running"


async def test_a_deploy_while_rolled_back_that_is_promoted_does_not_rest(installation: Installation) -> None:
    world, old, new, unrouted = await rolled_back(installation)
    another = await installation.deployed(world)

    await promote(installation, unrouted)

    for replaced in (old, new, another):
        await rests(installation, replaced)
    assert await installation.live(world) == unrouted
    await runs_on(installation, unrouted)


async def test_a_deploy_while_rolled_back_rests_when_another_one_is_promoted(installation: Installation) -> None:
    world, old, new, unrouted = await rolled_back(installation)

    await promote(installation, new)

    await rests(installation, old)
    await rests(installation, unrouted)
    assert await installation.live(world) == new
    assert await desired(installation, new) == "running"


async def test_a_deploy_while_rolled_back_outlives_a_rollback_further_back(installation: Installation) -> None:
    """It is open all the same, whatever it is that is gone back to."""
    world = await installation.world()
    oldest, old, new = [await installation.deployed(world) for _ in range(3)]
    await rollback(installation, new, old)
    unrouted = await installation.deployed(world)

    await rollback(installation, old, oldest)

    await runs_on(installation, unrouted, new, old)
    await promote(installation, oldest)
    for left in (old, new, unrouted):
        await rests(installation, left)


# ------------------------------------------------------------------------------------ what is live, and does not exist


async def without_live(installation: Installation) -> tuple[World, str, str, str]:
    """Roll back past one, and remove the row of what is live then; returns what is gone, and the two after it."""
    world = await installation.world()
    old, middle, new = [await installation.deployed(world) for _ in range(3)]
    await rollback(installation, new, old)
    await remove(installation, tables.deployments, id=old)
    return world, old, middle, new


async def assert_live(installation: Installation, world: World, deployment_id: str) -> None:
    app = await installation.row(tables.apps, id=world.app.id)
    assert (app["current_deployment_id"], app["is_rolled_back"]) == (deployment_id, False)
    routes = await installation.routes(world)
    assert routes[f"shop-{world.workspace_slug}"] == deployment_id
    assert routes[f"shop-production-{world.workspace_slug}"] == deployment_id


async def test_the_next_deploy_ends_a_rollback_to_what_is_gone(installation: Installation) -> None:
    world, _, _, new = await without_live(installation)

    following = await installation.deployed(world)

    await assert_live(installation, world, following)
    await rests(installation, new)
    await assert_live(installation, world, await installation.deployed(world))
    await rests(installation, following)


async def test_the_next_deploy_ends_it_for_those_that_waited_for_that(installation: Installation) -> None:
    world, old, new, unrouted = await rolled_back(installation)
    await remove(installation, tables.deployments, id=old)

    following = await installation.deployed(world)

    await assert_live(installation, world, following)
    await rests(installation, new)
    await rests(installation, unrouted)
    assert await desired(installation, following) == "running"


async def test_a_promotion_ends_a_rollback_to_what_is_gone(installation: Installation) -> None:
    world, _, middle, new = await without_live(installation)
    await rests(installation, middle)

    await promote(installation, middle)

    await assert_live(installation, world, middle)
    await rests(installation, new)
    assert await desired(installation, middle) == "running"
    assert await installation.rows(tables.instances, deployment_id=middle)


async def test_what_was_rolled_back_from_may_be_promoted_when_the_live_one_is_gone(installation: Installation) -> None:
    world, _, _, new = await without_live(installation)

    await promote(installation, new)

    await assert_live(installation, world, new)
    await runs_on(installation, new)


# ---------------------------------------------------------------------------------- an environment of the team's own


async def test_a_replaced_deployment_of_a_custom_environment_rests(installation: Installation) -> None:
    world = await installation.world(environments=ENVIRONMENTS)
    live = await installation.deployed(world)
    first, second = [await installation.deployed(world, "staging") for _ in range(2)]

    await rests(installation, first)

    assert (await installation.routes(world))[f"shop-staging-{world.workspace_slug}"] == second
    await runs_on(installation, second, live)


async def test_an_older_deploy_of_a_custom_environment_that_finishes_last_rests(installation: Installation) -> None:
    world = await installation.world(environments=ENVIRONMENTS)
    older, newer = await overtaken(installation, world, "staging")

    await rests(installation, older)

    await runs_on(installation, newer)


async def test_a_branch_that_leads_to_a_deployment_of_a_custom_environment_keeps_it_running(
    installation: Installation,
) -> None:
    """Until the branch is deployed again."""
    world = await installation.world(environments=ENVIRONMENTS)
    one = await installation.deployed(world, "staging", git_branch="one")
    two = await installation.deployed(world, "staging", git_branch="two")
    await runs_on(installation, one, two)

    again = await installation.deployed(world, "staging", git_branch="one")

    await rests(installation, one)
    await runs_on(installation, two, again)


async def test_a_replaced_preview_is_left_to_the_sweep(installation: Installation) -> None:
    world = await installation.world()
    first, second = [await installation.deployed(world, "preview") for _ in range(2)]

    await runs_on(installation, first, second)
