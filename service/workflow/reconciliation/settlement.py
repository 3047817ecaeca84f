"""The transaction that ends what a dead operation has left (06 · L4): what its own undo would have done."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from service.database import apps, attempts, builds, deployments, operations, steps, stuck
from service.database.attempts import AttemptState
from service.database.operations import OperationKind, OperationState
from service.database.stuck import Unfinished
from service.errors import Cancelled, HydraError, Internal
from service.routing.revert import revert
from service.routing.switch import Kind, Order
from service.workflow.phases.failure import claim_as_failed, stop
from service.workflow.phases.report import is_shown

_SWITCHES = {
    OperationKind.DEPLOY: Kind.DEPLOY,
    OperationKind.ROLLBACK: Kind.ROLLBACK,
    OperationKind.PROMOTE: Kind.PROMOTE,
}


@dataclass(frozen=True)
class Settled:
    """Whether anything was left to do, and what GitHub is to be told of the deployment; empty for nothing."""

    done: bool = False
    reported_as: str = ""


_KILLED = "the operation was ended from outside before it was done: start it again"


async def settle(conn: AsyncConnection, operation: Unfinished, now_ms: int) -> Settled:
    """End the operation as failed and undo it, unless it has ended meanwhile.

    Traffic goes back where it still is as this operation left it, and the operation can never switch again. A
    deployment that a newer attempt has taken over is left to that.
    """
    cause = Internal(_KILLED, reason="KILLED")
    kind = _SWITCHES.get(operation.kind)
    app = await apps.find_locked(conn, operation.app_id) if operation.app_id else None
    if not await stuck.runs(conn, operation.operation_id):
        return Settled()
    if kind is not None and app is not None:
        order = Order(operation.operation_id, app.app_id, operation.deployment_id, kind)
        await revert(conn, order, now_ms)
    reported_as = ""
    if operation.kind is OperationKind.DEPLOY and await _holds(conn, operation):
        reported_as = await _fail(conn, operation, cause, now_ms)
    await builds.abandon(conn, operation.operation_id, now_ms)
    await operations.end(
        conn, operation.operation_id, OperationState.FAILED, now_ms, failure=(cause.reason, cause.message)
    )
    return Settled(done=True, reported_as=reported_as)


async def _holds(conn: AsyncConnection, operation: Unfinished) -> bool:
    return await deployments.lock(conn, operation.deployment_id) and await attempts.holds(
        conn, operation.deployment_id, operation.operation_id
    )


async def _fail(conn: AsyncConnection, operation: Unfinished, cause: HydraError, now_ms: int) -> str:
    """Stop the deployment and set it `failed`; returns what GitHub is to be told, empty for nothing."""
    deployment_id = operation.deployment_id
    await stop(conn, deployment_id, now_ms)
    await steps.fail(conn, deployment_id, cause.message, now_ms)
    await attempts.end(conn, deployment_id, operation.operation_id, AttemptState.FAILED, now_ms)
    return cause.message if is_shown(await deployments.subject(conn, deployment_id)) else ""


async def cancel_unbegun(conn: AsyncConnection, deployment_id: str, operation_id: str, now_ms: int) -> bool:
    """Set a deployment `failed` that was cancelled before any operation began to work on it.

    False, and nothing is written, where one works on it or its end has come. The attempt counts: a later deploy is
    another. Raises NotFound.
    """
    app_id = await deployments.app_of(conn, deployment_id)
    if app_id is None or not await deployments.lock(conn, deployment_id):
        raise deployments.deployment_not_found(deployment_id)
    if not await claim_as_failed(conn, deployment_id, operation_id, now_ms):
        return False
    cause = Cancelled("the deploy was cancelled by an operator before it began")
    await steps.fail(conn, deployment_id, cause.message, now_ms)
    about = {"app_id": app_id, "deployment_id": deployment_id, "to_deployment_id": deployment_id}
    await operations.begin(conn, operation_id, OperationKind.DEPLOY, now_ms, about)
    await operations.end(conn, operation_id, OperationState.CANCELLED, now_ms, (cause.reason, cause.message))
    return True
