"""Ending what nobody works on: an operation that died, and a deployment that was cancelled before it began."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from service.clock import now_ms
from service.database import apps, deployments, operations, reporting
from service.database.operations import OperationKind, OperationState
from service.database.stuck import Unfinished
from service.errors import Cancelled, Internal
from service.routing.standing import deployment_is_live, is_live
from service.workflow.phases.undo import Operation, fail_unbegun, undo
from service.workflow.runtime import Options


@dataclass(frozen=True)
class Settled:
    """Whether anything was left to do, and what is to follow: what GitHub is told (empty for nothing), and a rest.

    `rest_after_ms`: the target of a takeover was set running for that alone, and is to rest after so long.
    """

    done: bool = False
    reported_as: str = ""
    rest_after_ms: int | None = None


_KILLED = "the operation was ended from outside before it was done: start it again"


async def settle(conn: AsyncConnection, operation: Unfinished, options: Options) -> Settled:
    """End the operation as failed and undo it, unless it has ended meanwhile.

    A deployment that a newer attempt has taken over is left to that. Raises Uncounted.
    """
    cause = Internal(_KILLED, reason="KILLED")
    dead = Operation(operation.operation_id, operation.kind, operation.deployment_id)
    undone = await undo(conn, dead, cause, options)
    shown = undone.failed and await reporting.is_shown(conn, operation.deployment_id)
    return Settled(undone.done, cause.message if shown else "", undone.rest_after_ms)


async def cancel_unbegun(conn: AsyncConnection, deployment_id: str, operation_id: str) -> bool:
    """Set a deployment `failed` that was cancelled before any operation began to work on it.

    False, and nothing is written, where one works on it or its end has come. Raises NotFound, and FailedPrecondition
    for one that is live.
    """
    app_id = await deployments.app_of(conn, deployment_id)
    app = await apps.find_locked(conn, app_id) if app_id else None
    if app_id is None or not await deployments.lock(conn, deployment_id):
        raise deployments.deployment_not_found(deployment_id)
    if await is_live(conn, app, deployment_id):
        raise deployment_is_live(deployment_id)
    cause = Cancelled("the deploy was cancelled by an operator before it began")
    if not await fail_unbegun(conn, app, deployment_id, operation_id, cause):
        return False
    now = now_ms()
    about = {"app_id": app_id, "deployment_id": deployment_id, "to_deployment_id": deployment_id}
    await operations.begin(conn, operation_id, OperationKind.DEPLOY, now, about)
    await operations.end(conn, operation_id, OperationState.CANCELLED, now, (cause.reason, cause.message))
    return True
