"""Rollback: traffic goes back to a deployment that was live before (02 · 2)."""

from typing import Any

from hydra.v1 import deploy_pb2, routing_pb2
from sqlalchemy.ext.asyncio import AsyncConnection

from service.contract import validate_rollback
from service.database import operations
from service.database.operations import OperationKind
from service.durable.binding import Handler
from service.durable.journal import Journal
from service.errors import HydraError
from service.routing.admission import admit_rollback
from service.workflow.compensation import Compensation, unwind
from service.workflow.phases import report
from service.workflow.phases.takeover import Takeover, take_over
from service.workflow.record import begin, record_failure
from service.workflow.runtime import Runtime


def rollback_handler(runtime: Runtime) -> Handler:
    """Make the Rollback handler. Shared, so that it waits for nothing but its own switch."""

    async def rollback(ctx: Any, request: deploy_pb2.RollbackRequest) -> deploy_pb2.RollbackResponse:
        validate_rollback(request)
        journal = runtime.journal(ctx)
        undo = Compensation()
        about = {
            "deployment_id": request.target_deployment_id,
            "from_deployment_id": request.source_deployment_id,
            "to_deployment_id": request.target_deployment_id,
        }
        undo.add("record failure", lambda cause: record_failure(journal, runtime, OperationKind.ROLLBACK, about, cause))
        try:
            takeover = await _check(journal, runtime, request)
            await take_over(journal, runtime, takeover, undo)
        except HydraError as error:
            await unwind(journal, undo, error)
            raise
        # The source keeps running: it rests when the rollback is confirmed, or something else is promoted.
        if report.is_connected(takeover.target):
            back, away = takeover.target.deployment_id, [takeover.source_id]
            report.moved(journal, back, "Live again after a rollback", away, "Rolled back")
        return deploy_pb2.RollbackResponse()

    return rollback


async def _check(journal: Journal, runtime: Runtime, request: deploy_pb2.RollbackRequest) -> Takeover:
    """Refuse what cannot be done before anything is, and record the operation."""

    async def work(conn: AsyncConnection) -> Takeover:
        source_id = request.source_deployment_id
        target = (await admit_rollback(conn, source_id, request.target_deployment_id)).target
        about = {**operations.subject_columns(target), "from_deployment_id": source_id}
        await begin(conn, journal, OperationKind.ROLLBACK, about)
        return Takeover(target, routing_pb2.TRAFFIC_SWITCH_KIND_ROLLBACK, source_id)

    return await journal.step("check rollback", Takeover, lambda: runtime.database.transact(work))
