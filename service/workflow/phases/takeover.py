"""Moving traffic to a deployment that was ready before: what Rollback and Promote have in common."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from hydra.v1 import routing_pb2
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database import operations
from service.database.deployments import Subject
from service.database.operations import OperationKind, OperationState
from service.durable.journal import Journal
from service.errors import HydraError
from service.workflow import record
from service.workflow.phases import finalize, readiness, wake
from service.workflow.phases.finalize import Replaced
from service.workflow.phases.undo import Operation, undo_operation
from service.workflow.runtime import Runtime

_KINDS = {
    OperationKind.ROLLBACK: routing_pb2.TRAFFIC_SWITCH_KIND_ROLLBACK,
    OperationKind.PROMOTE: routing_pb2.TRAFFIC_SWITCH_KIND_PROMOTE,
}


@dataclass(frozen=True)
class Takeover:
    """The deployment to get traffic, and the one that is live."""

    target: Subject
    source_id: str


@dataclass(frozen=True)
class _Checked:
    """What may begin; None where an earlier run of the operation has ended, and how."""

    takeover: Takeover | None = None
    earlier: OperationState | None = None


async def admit(
    journal: Journal, runtime: Runtime, operation: Operation, check: Callable[[AsyncConnection], Awaitable[Takeover]]
) -> Takeover | None:
    """Let the operation begin, if `check` does, and record it; None where an earlier run of it went well.

    Raises what `check` raises, and FailedPrecondition where an earlier run has failed.
    """

    async def work(conn: AsyncConnection) -> _Checked:
        earlier = await operations.standing(conn, operation.operation_id)
        if earlier is not None and earlier.deployment_id != operation.deployment_id:
            return _Checked(earlier=OperationState.FAILED)  # an operation on another deployment has had this id
        if earlier is not None and earlier.state.has_ended:
            return _Checked(earlier=earlier.state)
        takeover = await check(conn)
        about = {**operations.subject_columns(takeover.target), "from_deployment_id": takeover.source_id}
        await record.begin(conn, journal, operation.kind, about)
        return _Checked(takeover)

    name = f"check {operation.kind.value}"
    checked = await journal.step(name, _Checked, lambda: runtime.database.transact(work))
    operation.begun = checked.takeover is not None
    if checked.takeover is None and checked.earlier is not OperationState.SUCCEEDED:
        raise record.operation_ended()
    return checked.takeover


async def take_over(journal: Journal, runtime: Runtime, takeover: Takeover, operation: Operation) -> Replaced:
    """Make the target run and healthy, then switch.

    No stop that is due meanwhile puts the target to rest: not while this operation runs, and not what is live.
    """
    awake = await wake.wake(journal, runtime, operation)
    if not awake.healthy:
        await readiness.await_healthy(journal, runtime, operation.deployment_id, awake.placed)
    return await switch(journal, takeover, operation)


async def switch(journal: Journal, takeover: Takeover, operation: Operation) -> Replaced:
    """Make the switch.

    The target's scheduled changes are forgotten afterwards: some may come from an operation that took its place before.
    """
    source_id = takeover.source_id if operation.kind is OperationKind.ROLLBACK else ""
    replaced = await finalize.switch_traffic(journal, takeover.target, _KINDS[operation.kind], source_id)
    await finalize.clear_scheduled_changes(journal, operation.deployment_id).response()
    return replaced


async def undo_takeover(journal: Journal, runtime: Runtime, operation: Operation, cause: HydraError) -> None:
    """Undo it, and let the target rest again where nothing needs it."""
    undone = await undo_operation(journal, runtime, operation, cause)
    if undone.rest_after_ms is not None:
        finalize.schedule_standby(journal, [operation.deployment_id], undone.rest_after_ms)
