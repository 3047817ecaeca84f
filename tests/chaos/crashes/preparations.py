"""What there is before a flow begins. Deployments go by the order of their creation."""

from functools import partial

from hydra.v1 import deploy_pb2
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncConnection

from service.clock import now_ms
from service.database import tables
from service.dev.workload import AgentBehaviour, Fate
from tests.chaos.crashes.runs import forget, over, tree
from tests.chaos.crashes.scene import Scene
from tests.installation import deploy_request
from tests.previews import LONG_AGO_MS, keep_log_alive
from tests.waiting import until

_DOOMED = "registry.example.com/acme/doomed:1.0"
_DROWSY = "registry.example.com/acme/drowsy:1.0"
_FAILURE = "failure"
# Somebody sends a deployment to rest as soon as it has its names, or has been woken for a takeover: then its switch is
# refused.
_SENT_TO_REST = (
    f"""
    CREATE TRIGGER IF NOT EXISTS sent_to_rest AFTER INSERT ON frontline_routes FOR EACH ROW
    UPDATE deployments SET desired_state = 'standby' WHERE id = NEW.deployment_id AND image = '{_DOOMED}'
    """,
    f"""
    CREATE TRIGGER IF NOT EXISTS sent_back_to_rest AFTER UPDATE ON hydra_operations FOR EACH ROW
    UPDATE deployments SET desired_state = 'standby'
    WHERE id = NEW.deployment_id AND image = '{_DROWSY}' AND INSTR(NEW.detail, 'woken')
    """,
)


async def first_image(scene: Scene) -> None:
    scene.request = await scene.deploy()


async def one_live(scene: Scene) -> None:
    await scene.done("Deploy", await scene.deploy())


async def git_beside_live(scene: Scene) -> None:
    await one_live(scene)
    scene.request = await scene.deploy(image="")


async def doomed_beside_live(scene: Scene) -> None:
    """Be about to deploy what is sent to rest before its switch."""
    await _send_to_rest(scene)
    await one_live(scene)
    scene.request = await scene.deploy(image=_DOOMED)


async def failed_beside_live(scene: Scene) -> None:
    """Be about to deploy again what failed, with another image."""
    await doomed_beside_live(scene)
    await scene.done("Deploy", scene.request, _FAILURE)
    await scene.gone(scene.request.deployment_id)
    scene.request = deploy_request(scene.request.deployment_id)


async def deployed_and_forgotten(scene: Scene) -> None:
    """Be about to deploy what was deployed, under the same key, when Restate has forgotten it."""
    await one_live(scene)
    scene.request = await scene.deploy()
    scene.run.root = await scene.ask_once("Deploy", scene.request)
    await forget(scene.site, await over(scene.site, scene.run))


async def overtaken(scene: Scene) -> None:
    """Be about to deploy what is older than the live one."""
    await one_live(scene)
    scene.request = await scene.deploy()
    await one_live(scene)


async def two_deployed(scene: Scene) -> None:
    await one_live(scene)
    await one_live(scene)


async def first_rests(scene: Scene) -> None:
    await two_deployed(scene)
    await _put_to_rest(scene)


async def first_rests_and_is_ill(scene: Scene) -> None:
    """Have the first at rest, and never healthy again."""
    await first_rests(scene)
    first = scene.run.deployments[0]
    scene.request = deploy_request(first)
    scene.behave(AgentBehaviour(fate=Fate.FAIL), first)


async def first_rests_and_is_drowsy(scene: Scene) -> None:
    """Have the first at rest, and sent back to rest when it is woken for a takeover."""
    await _send_to_rest(scene)
    await scene.done("Deploy", await scene.deploy(image=_DROWSY))
    await one_live(scene)
    await _put_to_rest(scene)


async def rolled_back(scene: Scene) -> None:
    await two_deployed(scene)
    await scene.done("Rollback", scene.rollback())


async def idle_preview(scene: Scene) -> None:
    """Have an old preview, after a sweep that has counted all regions: those are not of this world alone."""
    await one_live(scene)
    await keep_log_alive(scene.site.installation.stack.options.environ["HYDRA_CLICKHOUSE__URL"])
    await _sweep(scene)
    long_ago = now_ms() - LONG_AGO_MS
    of_world = {"app_id": scene.run.world.app.id}
    await scene.site.installation.set(tables.deployments, of_world, created_at=long_ago, updated_at=long_ago)


async def swept_preview(scene: Scene) -> None:
    await idle_preview(scene)
    await _sweep(scene)
    (preview,) = scene.run.deployments
    await scene.gone(preview)
    scene.request = deploy_request(preview)


async def out_of_order(scene: Scene) -> None:
    """Have a live deployment that rests, one that failed and is set to run, and a deploy that was killed.

    And a route that leads to nothing, and a sentinel of no environment. Rounds look at everything there is: nothing but
    this world is left.
    """
    app_id = scene.run.world.app.id
    installation = scene.site.installation
    await installation.database.transact(partial(_forget_others, app_id=app_id))
    await doomed_beside_live(scene)
    await scene.done("Deploy", scene.request, _FAILURE)
    await _deploy_killed(scene)
    live, failed, _ = scene.run.deployments
    await installation.set(tables.deployments, {"id": live}, desired_state="standby")
    await installation.set(tables.deployment_topology, {"deployment_id": live}, desired_status="stopped")
    await installation.set(tables.deployment_topology, {"deployment_id": failed}, desired_status="running")
    await installation.set(tables.frontline_routes, {"app_id": app_id, "sticky": "live"}, deployment_id="d_gone")
    await installation.set(tables.sentinels, {"region_id": scene.run.regions[0].id}, environment_id="env_gone")


async def _deploy_killed(scene: Scene) -> None:
    """Have a deploy killed that waits for its regions, when GitHub has been told that it is under way."""
    site, run = scene.site, scene.run
    request = await scene.deploy()
    scene.behave(AgentBehaviour(dead=True), request.deployment_id)
    run.root = await scene.ask("Deploy", request)

    async def waits_alone() -> bool:
        found = await tree(site, run.root)
        others = [one for one in found if one.id != run.root]
        is_complete = len(found) == 1 + sum(one.calls for one in found)
        return is_complete and all(one.is_over for one in others) and "await healthy regions" in found[0].steps

    async def is_dead() -> bool:
        (root, *_) = await tree(site, run.root)
        return root.status == "completed"

    await until(waits_alone)
    await site.kill(run.root)
    await until(is_dead)


async def _put_to_rest(scene: Scene) -> None:
    """Put the first to rest."""
    first = scene.run.deployments[0]
    scene.run.root = await scene.rest(first)
    await over(scene.site, scene.run)
    await scene.gone(first)


async def _sweep(scene: Scene) -> None:
    await scene.done("ScaleDownIdlePreviewDeployments", deploy_pb2.ScaleDownIdlePreviewDeploymentsRequest())


async def _send_to_rest(scene: Scene) -> None:
    for trigger in _SENT_TO_REST:
        await scene.site.installation.database.transact(lambda conn, sql=trigger: conn.exec_driver_sql(sql))  # type: ignore[misc]


async def _forget_others(conn: AsyncConnection, app_id: str) -> None:
    await conn.execute(delete(tables.apps).where(tables.apps.c.id != app_id))
