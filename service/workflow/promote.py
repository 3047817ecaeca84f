"""Promote: a deployment becomes live for good, or a rollback is confirmed (02 · 3)."""

from typing import Any

from hydra.v1 import deploy_pb2, routing_pb2
from sqlalchemy.ext.asyncio import AsyncConnection

from service.contract import validate_promote
from service.database import operations
from service.database.operations import OperationKind
from service.durable.binding import Handler
from service.durable.journal import Journal
from service.errors import HydraError
from service.routing.admission import admit_promotion
from service.workflow.compensation import Compensation, unwind
from service.workflow.phases import finalize, report
from service.workflow.phases.takeover import Takeover, switch, take_over
from service.workflow.record import begin, record_failure
from service.workflow.runtime import Runtime


def promote_handler(runtime: Runtime) -> Handler:
    """Make the Promote handler. Shared, so that it waits for nothing but its own switch."""

    async def promote(ctx: Any, request: deploy_pb2.PromoteRequest) -> deploy_pb2.PromoteResponse:
        validate_promote(request)
        journal = runtime.journal(ctx)
        undo = Compensation()
        about = {"deployment_id": request.target_deployment_id, "to_deployment_id": request.target_deployment_id}
        undo.add("record failure", lambda cause: record_failure(journal, runtime, OperationKind.PROMOTE, about, cause))
        try:
            takeover = await _check(journal, runtime, request.target_deployment_id)
            superseded = await _promote(journal, runtime, takeover, undo)
        except HydraError as error:
            await unwind(journal, undo, error)
            raise
        finalize.schedule_standby(journal, superseded, after=runtime.options.standby_delay)
        if report.is_connected(takeover.target):
            target_id = takeover.target.deployment_id
            report.moved(journal, target_id, "Promoted: live", superseded, "Replaced by a promotion")
        return deploy_pb2.PromoteResponse()

    return promote


async def _promote(journal: Journal, runtime: Runtime, takeover: Takeover, undo: Compensation) -> list[str]:
    """Confirm the rollback to what is live already, or move the traffic."""
    if takeover.source_id == takeover.target.deployment_id:
        undo.add("revert traffic", lambda _: finalize.revert_traffic(journal, takeover.target))
        superseded = await switch(journal, takeover)
        # Another operation may have taken the target's place since the check, and scheduled it to rest, before this
        # switch gave the place back.
        await finalize.clear_scheduled_changes(journal, takeover.target.deployment_id).response()
        return superseded
    return await take_over(journal, runtime, takeover, undo)


async def _check(journal: Journal, runtime: Runtime, target_id: str) -> Takeover:
    """Refuse what cannot be done before anything is, and record the operation; the source is what is live now."""

    async def work(conn: AsyncConnection) -> Takeover:
        admitted = await admit_promotion(conn, target_id)
        live_id = admitted.app.current_deployment_id or ""
        about = {**operations.subject_columns(admitted.target), "from_deployment_id": live_id}
        await begin(conn, journal, OperationKind.PROMOTE, about)
        return Takeover(admitted.target, routing_pb2.TRAFFIC_SWITCH_KIND_PROMOTE, live_id)

    return await journal.step("check promote", Takeover, lambda: runtime.database.transact(work))
