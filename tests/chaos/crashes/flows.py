"""The flows that are crashed, and how each begins."""

from google.protobuf import json_format
from hydra.v1 import deploy_pb2, reconcile_pb2

from service.domain.deployment import PREVIEW
from tests.chaos.crashes import preparations as before
from tests.chaos.crashes.scene import Flow, Scene

_SOON_MS = 200
# An illness shows when the time is up, and only then.
_IMPATIENT = {"HYDRA_DEPLOY__HEALTH_TIMEOUT": "5s"}


async def _deploy(scene: Scene) -> str:
    return await scene.ask_once("Deploy", scene.request)


async def _roll_back(scene: Scene) -> str:
    return await scene.ask_once("Rollback", scene.rollback())


async def _promote_first(scene: Scene) -> str:
    return await scene.ask_once("Promote", scene.promote(0))


async def _sweep(scene: Scene) -> str:
    request = deploy_pb2.ScaleDownIdlePreviewDeploymentsRequest()
    return await scene.ask_once("ScaleDownIdlePreviewDeployments", request)


async def _schedule(scene: Scene) -> str:
    return await scene.rest(scene.run.deployments[0], _SOON_MS)


async def _go_round(scene: Scene) -> str:
    request = json_format.MessageToDict(reconcile_pb2.ReconcileRequest(thorough=True))
    return await scene.site.send("hydra.v1.ReconcileService", "installation", "Reconcile", request)


FLOWS = (
    Flow("deploy image", before.first_image, _deploy),
    Flow("deploy git", before.git_beside_live, _deploy, connected=True),
    Flow("deploy that is undone", before.doomed_beside_live, _deploy),
    Flow("deploy again", before.failed_beside_live, _deploy),
    Flow("deploy that is overtaken", before.overtaken, _deploy),
    Flow("deploy repeated", before.deployed_and_forgotten, _deploy),
    Flow("start", before.swept_preview, _deploy, environment=PREVIEW),
    Flow("start that is undone", before.first_rests_and_is_ill, _deploy, settings=_IMPATIENT),
    Flow("rollback", before.two_deployed, _roll_back, connected=True),
    Flow("rollback to standby", before.first_rests, _roll_back),
    Flow("rollback that is undone", before.first_rests_and_is_drowsy, _roll_back),
    Flow("promote", before.two_deployed, _promote_first),
    Flow("promote after rollback", before.rolled_back, _promote_first),
    Flow("promote that is undone", before.first_rests_and_is_drowsy, _promote_first),
    Flow("sweep", before.idle_preview, _sweep, environment=PREVIEW),
    Flow("scheduled change", before.two_deployed, _schedule, repeats=False),
    Flow("round", before.out_of_order, _go_round, connected=True, repeats=False),
)
