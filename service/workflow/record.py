"""The record of operations, as a workflow keeps it: begun with its first step, ended with its switch or its failure.

An operation happens once. Its id comes from Restate, which makes it from the caller's idempotency key and forgets the
invocation after a while: the record is what remembers it.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from service.clock import now_ms
from service.database import deployments, operations
from service.database.operations import OperationKind, OperationState
from service.durable.journal import UNDO_BUDGET, Journal
from service.errors import Cancelled, FailedPrecondition, HydraError
from service.workflow.runtime import Runtime

CALLER_HEADER = "x-hydra-caller"
_CALLER_LENGTH = 256  # hydra_operations.caller; on the Restate plane nobody else bounds it


def operation_ended() -> FailedPrecondition:
    """Return the refusal of an operation that has failed before, under the same id."""
    return FailedPrecondition(
        "this idempotency key belongs to an operation that has ended without success: use another key",
        reason="OPERATION_ENDED",
    )


async def begin(conn: AsyncConnection, journal: Journal, kind: OperationKind, about: Mapping[str, Any]) -> None:
    """Record that this invocation's operation runs, in the caller's transaction; `about` holds id columns."""
    caller = str(journal.ctx.request().headers.get(CALLER_HEADER, ""))[:_CALLER_LENGTH]
    await operations.begin(conn, journal.operation_id, kind, now_ms(), {**about, "caller": caller})


async def end_failed(
    conn: AsyncConnection, journal: Journal, kind: OperationKind, about: Mapping[str, Any], cause: HydraError
) -> None:
    """End the operation as failed or cancelled, in the caller's transaction; one refused at once is recorded here."""
    state = OperationState.CANCELLED if isinstance(cause, Cancelled) else OperationState.FAILED
    app_id = await deployments.app_of(conn, about["deployment_id"]) if "deployment_id" in about else None
    await begin(conn, journal, kind, {"app_id": app_id, **about})
    await operations.end(conn, journal.operation_id, state, now_ms(), (cause.reason, cause.message))


async def record_failure(
    journal: Journal, runtime: Runtime, kind: OperationKind, about: Mapping[str, Any], cause: HydraError
) -> None:
    """End the operation as `end_failed` does, in a step of its own; one that has ended before stays as it is."""

    async def work(conn: AsyncConnection) -> None:
        earlier = await operations.state(conn, journal.operation_id, lock=True)
        if earlier is None or not earlier.has_ended:
            await end_failed(conn, journal, kind, about, cause)

    await journal.step("record failure", type(None), lambda: runtime.database.transact(work), UNDO_BUDGET)
