"""Who works on a deployment: one operation at a time holds its claim (02 · 7)."""

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database import deployments
from service.database.tables import hydra_deployment_attempts as attempts
from service.database.upsert import upsert
from service.errors import FailedPrecondition


class AttemptState(StrEnum):
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True)
class Attempt:
    """The newest attempt at a deployment; `number` counts from 1."""

    number: int
    operation_id: str
    state: AttemptState


async def newest(conn: AsyncConnection, deployment_id: str, *, lock: bool = False) -> Attempt | None:
    """Read the newest attempt, locking its row on request."""
    query = select(attempts).where(attempts.c.deployment_id == deployment_id)
    row = (await conn.execute(query.with_for_update() if lock else query)).mappings().one_or_none()
    if row is None:
        return None
    return Attempt(row["attempt"], row["operation_id"], AttemptState(row["state"]))


async def claim(conn: AsyncConnection, deployment_id: str, attempt: Attempt, now_ms: int) -> None:
    """Make `attempt` the newest at the deployment; the caller holds the deployment's lock."""
    values = {
        "deployment_id": deployment_id,
        "attempt": attempt.number,
        "operation_id": attempt.operation_id,
        "state": attempt.state.value,
        "updated_at": now_ms,
    }
    await upsert(
        conn, attempts, values, key=("deployment_id",), update=("attempt", "operation_id", "state", "updated_at")
    )


async def holds(conn: AsyncConnection, deployment_id: str, operation_id: str) -> bool:
    """Tell, under the claim's lock, whether the operation still is the newest to work on the deployment."""
    attempt = await newest(conn, deployment_id, lock=True)
    return attempt is not None and attempt.operation_id == operation_id


async def require(conn: AsyncConnection, deployment_id: str, operation_id: str) -> None:
    """Raise FailedPrecondition unless the operation holds the claim: a step of a dead attempt must write nothing."""
    if not await holds(conn, deployment_id, operation_id):
        raise FailedPrecondition("a newer attempt at this deployment has begun", reason="SUPERSEDED")


async def end(conn: AsyncConnection, deployment_id: str, operation_id: str, state: AttemptState, now_ms: int) -> None:
    """Record how the operation's attempt ended; nothing where a newer one took over."""
    await conn.execute(
        update(attempts)
        .where(attempts.c.deployment_id == deployment_id, attempts.c.operation_id == operation_id)
        .values(state=state.value, updated_at=now_ms)
    )


async def idempotency_key(conn: AsyncConnection, deployment_id: str) -> str:
    """Name the attempt that a call to deploy means: the one that runs or went well, or a new one after a failure.

    Raises NotFound, so that a call made too early is not remembered as failed.
    """
    if await deployments.status(conn, deployment_id) is None:
        raise deployments.deployment_not_found(deployment_id)
    attempt = await newest(conn, deployment_id)
    if attempt is None:
        return f"deploy/{deployment_id}/1"
    number = attempt.number + 1 if attempt.state == AttemptState.FAILED else attempt.number
    return f"deploy/{deployment_id}/{number}"
