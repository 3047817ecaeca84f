"""Promote: a deployment becomes live for good, or a rollback is confirmed."""

from typing import Any

from hydra.v1 import deploy_pb2
from sqlalchemy.ext.asyncio import AsyncConnection

from service.contract import validate_promote
from service.database.operations import OperationKind
from service.durable.binding import Handler
from service.durable.journal import Journal
from service.errors import HydraError
from service.routing.admission import admit_promotion
from service.workflow.compensation import Compensation, unwind
from service.workflow.phases import finalize, report
from service.workflow.phases.finalize import Replaced
from service.workflow.phases.takeover import Takeover, admit, switch, take_over, undo_takeover
from service.workflow.phases.undo import Operation
from service.workflow.runtime import Runtime


def promote_handler(runtime: Runtime) -> Handler:
    """Make the Promote handler. Shared, so that it waits for nothing but its own switch."""

    async def promote(ctx: Any, request: deploy_pb2.PromoteRequest) -> deploy_pb2.PromoteResponse:
        validate_promote(request)
        journal = runtime.journal(ctx)
        target_id = request.target_deployment_id
        operation = Operation(
            journal.operation_id, OperationKind.PROMOTE, target_id, about={"to_deployment_id": target_id}
        )
        undo = Compensation()
        undo.add("undo", lambda cause: undo_takeover(journal, runtime, operation, cause))

        async def check(conn: AsyncConnection) -> Takeover:
            admitted = await admit_promotion(conn, target_id)
            return Takeover(admitted.target, admitted.app.current_deployment_id or "")

        try:
            takeover = await admit(journal, runtime, operation, check)
            replaced = None if takeover is None else await _promote(journal, runtime, takeover, operation)
        except HydraError as error:
            await unwind(journal, undo, error)
            raise
        if takeover is not None and replaced is not None:
            finalize.let_rest(journal, replaced, runtime.options.standby_delay_ms)
            if report.is_connected(takeover.target):
                report.moved(journal, target_id, "Promoted: live", replaced.superseded, "Replaced by a promotion")
        return deploy_pb2.PromoteResponse()

    return promote


async def _promote(journal: Journal, runtime: Runtime, takeover: Takeover, operation: Operation) -> Replaced:
    """Confirm the rollback to what is live already, or move the traffic."""
    if takeover.source_id == operation.deployment_id:
        return await switch(journal, takeover, operation)
    return await take_over(journal, runtime, takeover, operation)
