"""Phase `finalizing`: move traffic, then let go of what the deployment replaced."""

from dataclasses import dataclass

from hydra.v1 import deployment_pb2, openapi_pb2, routing_pb2

from service.database.deployments import Subject
from service.database.switches import HELD_BACK_TIMES
from service.durable.binding import Address, Call, Delivery, call, send
from service.durable.journal import Journal

_DEPLOYMENT_SERVICE = "hydra.v1.DeploymentService"
_ROUTING_SERVICE = "hydra.v1.RoutingService"


def clear_scheduled_changes(journal: Journal, deployment_id: str) -> Call:
    """Ask for scheduled changes of a deployment to be forgotten; await the answer before traffic moves to it."""
    request = deployment_pb2.ClearScheduledStateChangesRequest()
    return call(journal.ctx, Address(_DEPLOYMENT_SERVICE, "ClearScheduledStateChanges", deployment_id), request)


@dataclass(frozen=True)
class Replaced:
    """The deployments that lost their place by a switch, and those that a rollback, which it ended, held back."""

    superseded: list[str]
    held_back: list[str]


async def switch_traffic(
    journal: Journal,
    subject: Subject,
    kind: routing_pb2.TrafficSwitchKind = routing_pb2.TRAFFIC_SWITCH_KIND_DEPLOY,
    source_id: str = "",
) -> Replaced:
    """Move traffic to the deployment, and say who lost a place by it; `source_id` is what a rollback leaves."""
    request = routing_pb2.SwitchTrafficRequest(
        operation_id=journal.operation_id,
        deployment_id=subject.deployment_id,
        kind=kind,
        source_deployment_id=source_id,
    )
    switched = await call(journal.ctx, Address(_ROUTING_SERVICE, "SwitchTraffic", subject.app_id), request).response()
    return Replaced(list(switched.superseded_deployment_ids), list(switched.held_back_deployment_ids))


def let_rest(journal: Journal, replaced: Replaced, delay_ms: int) -> None:
    """Let what lost its place run on for a while and then rest; what never got one has longer to be promoted."""
    schedule_standby(journal, replaced.superseded, delay_ms)
    schedule_standby(journal, replaced.held_back, HELD_BACK_TIMES * delay_ms)


def collect_openapi(journal: Journal, deployment_id: str) -> None:
    """Let the app's OpenAPI document be fetched, if it has one; nothing waits for that."""
    request = openapi_pb2.ScrapeSpecRequest(deployment_id=deployment_id)
    send(journal.ctx, Address("hydra.v1.OpenapiService", "ScrapeSpec"), request)


def schedule_standby(journal: Journal, deployment_ids: list[str], after_ms: int) -> None:
    """Let deployments run on for a while and then rest; each operation that replaces one schedules it anew."""
    for deployment_id in deployment_ids:
        request = deployment_pb2.ScheduleDesiredStateChangeRequest(
            delay_millis=after_ms,
            state=deployment_pb2.DEPLOYMENT_DESIRED_STATE_STANDBY,
        )
        once = Delivery(idempotency_key=f"{journal.operation_id}:{deployment_id}")
        send(journal.ctx, Address(_DEPLOYMENT_SERVICE, "ScheduleDesiredStateChange", deployment_id), request, once)
