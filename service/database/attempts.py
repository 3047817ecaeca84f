"""Who works on a deployment: one operation at a time holds its claim (02 · 7)."""

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import ColumnElement, and_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database import operations
from service.database.deployments import deployment_not_found
from service.database.operations import OperationState
from service.database.tables import deployment_topology, deployments, hydra_operations
from service.database.tables import hydra_deployment_attempts as attempts
from service.database.upsert import upsert
from service.domain.deployment import DesiredState, Status, TopologyStatus
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


def _runs() -> ColumnElement[bool]:
    """Say of a deployment that it is to run, and in some region."""
    in_a_region = select(deployment_topology.c.pk).where(
        deployment_topology.c.deployment_id == deployments.c.id,
        deployment_topology.c.desired_status == TopologyStatus.RUNNING.value,
    )
    return and_(deployments.c.desired_state == DesiredState.RUNNING.value, in_a_region.exists())


@dataclass(frozen=True)
class Prospect:
    """A deployment that an operation is to work on.

    `runs` where it is to run, and in some region. `belongs_to` holds the ids of what it belongs to, in the columns of
    an operation's record. `earlier` is how the operation stands, by its record, and `earlier_deployment_id` what it was
    about; None without a record.
    """

    status: Status
    runs: bool
    belongs_to: dict[str, str]
    earlier: OperationState | None
    earlier_deployment_id: str | None


async def prospect(conn: AsyncConnection, deployment_id: str, operation_id: str) -> Prospect:
    """Read a deployment, whose lock the caller holds, for an operation that asks for it."""
    belongs_to = [deployments.c[name] for name in ("workspace_id", "project_id", "app_id", "environment_id")]
    query = (
        select(
            deployments.c.status,
            _runs().label("runs"),
            *belongs_to,
            hydra_operations.c.state.label("earlier"),
            hydra_operations.c.deployment_id.label("earlier_deployment_id"),
        )
        .select_from(deployments.outerjoin(hydra_operations, hydra_operations.c.id == operation_id))
        .where(deployments.c.id == deployment_id)
    )
    row = (await conn.execute(query)).mappings().one()
    about = {"deployment_id": deployment_id, "to_deployment_id": deployment_id}
    return Prospect(
        Status(row["status"]),
        bool(row["runs"]),
        {column.name: row[column.name] for column in belongs_to} | about,
        None if row["earlier"] is None else OperationState(row["earlier"]),
        row["earlier_deployment_id"],
    )


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


async def require(conn: AsyncConnection, deployment_id: str, operation_id: str) -> None:
    """Raise FailedPrecondition unless the operation holds the claim: a step of a dead attempt must write nothing.

    The claim is held while the attempt runs: an operation's id may come back after its end (docs/reliability.md).
    """
    attempt = await newest(conn, deployment_id, lock=True)
    if attempt is None or (attempt.operation_id, attempt.state) != (operation_id, AttemptState.RUNNING):
        raise FailedPrecondition(
            "this attempt at the deployment has ended, or a newer one has begun", reason="SUPERSEDED"
        )


async def end(conn: AsyncConnection, deployment_id: str, operation_id: str, state: AttemptState, now_ms: int) -> None:
    """Record how the operation's attempt ended; nothing where a newer one took over."""
    await conn.execute(
        update(attempts)
        .where(attempts.c.deployment_id == deployment_id, attempts.c.operation_id == operation_id)
        .values(state=state.value, updated_at=now_ms)
    )


@dataclass(frozen=True)
class Meant:
    """What a call to deploy means: an operation that runs already, or the one of an idempotency key."""

    idempotency_key: str
    operation_id: str = ""


async def meant(conn: AsyncConnection, deployment_id: str) -> Meant:
    """Say which attempt a call to deploy means: the one that runs or went well, or a new one after a failure.

    A call for a deployment at rest means to wake it, once for each time that it was put to rest.
    Raises NotFound, so that a call made too early is not remembered as failed.
    """
    query = select(deployments.c.status, _runs().label("runs"), deployments.c.updated_at)
    row = (await conn.execute(query.where(deployments.c.id == deployment_id))).one_or_none()
    if row is None:
        raise deployment_not_found(deployment_id)
    if row.status == Status.READY and not row.runs:
        return Meant(f"start/{deployment_id}/{row.updated_at}")
    attempt = await newest(conn, deployment_id)
    failed = row.status == Status.FAILED or (attempt is not None and attempt.state is AttemptState.FAILED)
    number = 1 if attempt is None else attempt.number + failed
    starting = await operations.starting(conn, deployment_id) if row.status == Status.READY else ""
    return Meant(f"deploy/{deployment_id}/{number}", starting)
