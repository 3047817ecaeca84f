"""Rollback: traffic goes back to a deployment that was live before."""

from typing import Any

from hydra.v1 import deploy_pb2
from sqlalchemy.ext.asyncio import AsyncConnection

from service.contract import validate_rollback
from service.database.operations import OperationKind
from service.durable.binding import Handler
from service.errors import HydraError
from service.routing.admission import admit_rollback
from service.workflow.compensation import Compensation, unwind
from service.workflow.phases import report
from service.workflow.phases.takeover import Takeover, admit, take_over, undo_takeover
from service.workflow.phases.undo import Operation
from service.workflow.runtime import Runtime


def rollback_handler(runtime: Runtime) -> Handler:
    """Make the Rollback handler. Shared, so that it waits for nothing but its own switch."""

    async def rollback(ctx: Any, request: deploy_pb2.RollbackRequest) -> deploy_pb2.RollbackResponse:
        validate_rollback(request)
        journal = runtime.journal(ctx)
        source_id, target_id = request.source_deployment_id, request.target_deployment_id
        about = {"from_deployment_id": source_id, "to_deployment_id": target_id}
        operation = Operation(journal.operation_id, OperationKind.ROLLBACK, target_id, about)
        undo = Compensation()
        undo.add("undo", lambda cause: undo_takeover(journal, runtime, operation, cause))

        async def check(conn: AsyncConnection) -> Takeover:
            return Takeover((await admit_rollback(conn, source_id, target_id)).target, source_id)

        try:
            takeover = await admit(journal, runtime, operation, check)
            if takeover is not None:
                await take_over(journal, runtime, takeover, operation)
        except HydraError as error:
            await unwind(journal, undo, error)
            raise
        # The source keeps running: it rests when the rollback is confirmed, or something else is promoted.
        if takeover is not None and report.is_connected(takeover.target):
            report.moved(journal, target_id, "Live again after a rollback", [source_id], "Rolled back")
        return deploy_pb2.RollbackResponse()

    return rollback
