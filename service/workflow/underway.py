"""Deploys that are under way or still to come, as Restate has them: also those that no record of ours knows yet."""

from hydra.v1 import deploy_pb2

from service.durable.admin import Admin, Invocation
from service.durable.payload import decode
from service.errors import InvalidArgument

_DEPLOYS = "target_service_name = 'hydra.v1.DeployService' AND target_handler_name = 'Deploy' AND status <> 'completed'"


async def deploys_under_way(restate: Admin) -> dict[str, list[Invocation]]:
    """Find the invocations of Deploy that have not ended, by the deployment that they are for.

    Callers choose the object's key, so the request itself tells which that is. Raises as `Admin.query`.
    """
    invocations = {each.id: each for each in await restate.invocations(_DEPLOYS)}
    found: dict[str, list[Invocation]] = {}
    for invocation_id, body in (await restate.inputs(invocations)).items():
        if deployment_id := _deployment_of(body):
            found.setdefault(deployment_id, []).append(invocations[invocation_id])
    return found


def _deployment_of(body: bytes) -> str:
    """Read which deployment a request is for; empty for what is no request, which ends by itself."""
    try:
        return decode(body, None, deploy_pb2.DeployRequest).deployment_id
    except InvalidArgument:
        return ""
