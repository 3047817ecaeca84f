"""hydra.v1.DeploymentService: what a deployment is to do, now or later (02 · 5). The object's key is its id."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, TypedDict

import structlog
from hydra.v1 import deployment_pb2
from sqlalchemy.ext.asyncio import AsyncConnection

from service.clock import now_ms
from service.counters import Counters
from service.database import apps, deployments, operations, topologies
from service.database.operations import OperationKind, OperationState
from service.database.topologies import Topology
from service.domain.deployment import DesiredState, TopologyStatus, Transition, transition
from service.durable.binding import Address, Delivery, Handler, send
from service.durable.journal import Journal
from service.errors import HydraError, InvalidArgument
from service.routing.standing import check_may_rest, deployment_is_live
from service.routing.waking import no_region
from service.workflow import record
from service.workflow.runtime import Runtime

log = structlog.get_logger(__name__)

_STATE = "transition"
_LONGEST_DELAY_MS = 100 * 365 * 24 * 3_600_000  # what is longer overflows on its way to Restate


class Pending(TypedDict):
    """The one pending transition, as a Go worker beside or before us spells it."""

    Nonce: str
    To: int


def deployment_handlers(runtime: Runtime) -> dict[str, Handler]:
    """Make the handlers by rpc name."""

    async def schedule(
        ctx: Any, request: deployment_pb2.ScheduleDesiredStateChangeRequest
    ) -> deployment_pb2.ScheduleDesiredStateChangeResponse:
        transition(request.state)
        if not 0 <= request.delay_millis <= _LONGEST_DELAY_MS:
            raise InvalidArgument(
                f"delay_millis is {request.delay_millis}: use 0 to {_LONGEST_DELAY_MS}", field="delay_millis"
            )
        pending = Pending(Nonce=str(ctx.uuid()), To=request.state)
        ctx.set(_STATE, pending)
        change = deployment_pb2.ChangeDesiredStateRequest(nonce=pending["Nonce"], state=request.state)
        delay = Delivery(delay=timedelta(milliseconds=request.delay_millis))
        send(ctx, Address("hydra.v1.DeploymentService", "ChangeDesiredState", ctx.key()), change, delay)
        return deployment_pb2.ScheduleDesiredStateChangeResponse()

    async def change(
        ctx: Any, request: deployment_pb2.ChangeDesiredStateRequest
    ) -> deployment_pb2.ChangeDesiredStateResponse:
        pending: Pending | None = await ctx.get(_STATE)
        if pending is None or pending["Nonce"] != request.nonce:
            return deployment_pb2.ChangeDesiredStateResponse()
        # Cleared first: whatever comes of it, a transition is applied or refused once.
        ctx.clear(_STATE)
        journal, wanted = runtime.journal(ctx), transition(request.state)
        try:
            await _apply(journal, runtime, ctx.key(), wanted)
        except HydraError as error:
            about = {"deployment_id": ctx.key(), "detail": {"desired_state": wanted.desired_state.value}}
            await record.record_failure(journal, runtime, OperationKind.DESIRED_STATE, about, error)
            raise
        return deployment_pb2.ChangeDesiredStateResponse()

    async def clear(
        ctx: Any, _: deployment_pb2.ClearScheduledStateChangesRequest
    ) -> deployment_pb2.ClearScheduledStateChangesResponse:
        ctx.clear(_STATE)
        return deployment_pb2.ClearScheduledStateChangesResponse()

    return {
        "ScheduleDesiredStateChange": schedule,
        "ChangeDesiredState": change,
        "ClearScheduledStateChanges": clear,
    }


async def _apply(journal: Journal, runtime: Runtime, deployment_id: str, wanted: Transition) -> None:
    """Set the deployment and its topologies to the wanted state, in one transaction.

    Raises FailedPrecondition for what must go on running; a deployment or app that is gone needs nothing.
    """

    async def work(conn: AsyncConnection) -> None:
        await _change(conn, journal, deployment_id, wanted)

    database = runtime.database
    await Counters(journal, database).step("change desired state", type(None), lambda: database.transact(work))


async def _change(conn: AsyncConnection, journal: Journal, deployment_id: str, wanted: Transition) -> None:
    """Make the change, where what was live can spare the deployment. Raises as `check_may_rest`, and Uncounted."""
    app_id = await deployments.app_of(conn, deployment_id)
    if app_id is None:
        log.info("desired state not changed: the deployment is gone", deployment=deployment_id)
        return
    app = await apps.find_locked(conn, app_id)
    if app is None or not await deployments.lock(conn, deployment_id):
        log.info("desired state not changed: the app is gone", deployment=deployment_id)
        return
    if app.current_deployment_id == deployment_id:
        raise deployment_is_live(deployment_id)
    if wanted.desired_state is not DesiredState.RUNNING:
        await check_may_rest(conn, app, deployment_id, asked_by=journal.operation_id)
    existing = await topologies.existing(conn, deployment_id)
    changed = [region_id for region_id, topology in existing.items() if _is_changed(topology, wanted)]
    if wanted.desired_state is DesiredState.RUNNING and existing and not _runs_somewhere(existing.values()):
        raise no_region(deployment_id, existing.values())
    now = now_ms()
    await topologies.set_status(conn, deployment_id, wanted.topology_status, changed, now)
    await deployments.set_desired_state(conn, deployment_id, wanted.desired_state, now)
    about = {"app_id": app_id, "deployment_id": deployment_id, "detail": {"desired_state": wanted.desired_state.value}}
    await record.begin(conn, journal, OperationKind.DESIRED_STATE, about)
    await operations.end(conn, journal.operation_id, OperationState.SUCCEEDED, now)


def _runs_somewhere(existing: Iterable[Topology]) -> bool:
    """Tell whether the deployment runs, or can be set running, in some region."""
    return any(topology.runs or topology.takes_work for topology in existing)


def _is_changed(topology: Topology, wanted: Transition) -> bool:
    """Tell whether the change concerns a region: nothing is set running in one that takes no work."""
    if topology.desired_status == wanted.topology_status:
        return False
    return wanted.topology_status is not TopologyStatus.RUNNING or bool(topology.takes_work)
