"""Phase `finalizing`: move traffic, then let go of what the deployment replaced."""

from datetime import timedelta

from hydra.v1 import deployment_pb2, openapi_pb2, routing_pb2

from service.database.deployments import Subject
from service.durable.binding import Address, Call, Delivery, call, send
from service.durable.journal import Journal

_DEPLOYMENT_SERVICE = "hydra.v1.DeploymentService"
_ROUTING_SERVICE = "hydra.v1.RoutingService"


def clear_scheduled_changes(journal: Journal, deployment_id: str) -> Call:
    """Ask for scheduled changes of a deployment to be forgotten; await the answer before traffic moves to it."""
    request = deployment_pb2.ClearScheduledStateChangesRequest()
    return call(journal.ctx, Address(_DEPLOYMENT_SERVICE, "ClearScheduledStateChanges", deployment_id), request)


async def switch_traffic(journal: Journal, subject: Subject) -> list[str]:
    """Make the switch of 02 · 1.7 and return the deployments that lost their place by it."""
    request = routing_pb2.SwitchTrafficRequest(
        operation_id=journal.operation_id,
        deployment_id=subject.deployment_id,
        kind=routing_pb2.TRAFFIC_SWITCH_KIND_DEPLOY,
    )
    switched = await call(journal.ctx, Address(_ROUTING_SERVICE, "SwitchTraffic", subject.app_id), request).response()
    return list(switched.superseded_deployment_ids)


async def revert_traffic(journal: Journal, subject: Subject) -> None:
    """Undo the switch, if it came to pass, and make sure that it no longer can."""
    request = routing_pb2.RevertTrafficRequest(operation_id=journal.operation_id, deployment_id=subject.deployment_id)
    await call(journal.ctx, Address(_ROUTING_SERVICE, "RevertTraffic", subject.app_id), request).response()


def collect_openapi(journal: Journal, deployment_id: str) -> None:
    """Let the app's OpenAPI document be fetched, if it has one; nothing waits for that."""
    request = openapi_pb2.ScrapeSpecRequest(deployment_id=deployment_id)
    send(journal.ctx, Address("hydra.v1.OpenapiService", "ScrapeSpec"), request)


def schedule_standby(journal: Journal, deployment_ids: list[str], after: timedelta) -> None:
    """Let deployments run on for a while and then rest; each operation that replaces one schedules it anew."""
    for deployment_id in deployment_ids:
        request = deployment_pb2.ScheduleDesiredStateChangeRequest(
            delay_millis=int(after.total_seconds() * 1000),
            state=deployment_pb2.DEPLOYMENT_DESIRED_STATE_STANDBY,
        )
        once = Delivery(idempotency_key=f"{journal.operation_id}:{deployment_id}")
        send(journal.ctx, Address(_DEPLOYMENT_SERVICE, "ScheduleDesiredStateChange", deployment_id), request, once)
