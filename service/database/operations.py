"""The record of operations: what was asked, by whom, and how it ended."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database.deployments import Subject
from service.database.tables import hydra_operations as operations
from service.database.upsert import insert_ignore
from service.domain.deployment import step_error


class OperationKind(StrEnum):
    DEPLOY = "deploy"
    ROLLBACK = "rollback"
    PROMOTE = "promote"
    SCALE_DOWN = "scale_down"
    DESIRED_STATE = "desired_state"


class OperationState(StrEnum):
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def has_ended(self) -> bool:
        return self is not OperationState.RUNNING


def subject_columns(subject: Subject) -> dict[str, str]:
    """Say what an operation is about, in the table's columns."""
    return {
        "workspace_id": subject.workspace_id,
        "project_id": subject.project_id,
        "app_id": subject.app_id,
        "environment_id": subject.environment_id,
        "deployment_id": subject.deployment_id,
        "to_deployment_id": subject.deployment_id,
    }


async def begin(
    conn: AsyncConnection, operation_id: str, kind: OperationKind, now_ms: int, subject: Mapping[str, Any]
) -> None:
    """Record that an operation runs; `subject` holds any of the table's id columns and `caller`."""
    row = {"id": operation_id, "kind": kind.value, "state": OperationState.RUNNING.value, "started_at": now_ms}
    await insert_ignore(conn, operations, {**subject, **row})


async def end(
    conn: AsyncConnection, operation_id: str, state: OperationState, now_ms: int, failure: tuple[str, str] | None = None
) -> None:
    """Record the end of an operation, also over an earlier one that was undone; `failure` is its reason and message."""
    reason, message = failure or (None, None)
    await conn.execute(
        update(operations)
        .where(operations.c.id == operation_id)
        .values(
            state=state.value, ended_at=now_ms, reason=reason, message=None if message is None else step_error(message)
        )
    )


@dataclass(frozen=True)
class Standing:
    """How an operation stands, and which deployment it is about; empty for none."""

    state: OperationState
    deployment_id: str


async def standing(conn: AsyncConnection, operation_id: str) -> Standing | None:
    """Read how an operation stands, None for one without a record."""
    query = select(operations.c.state, operations.c.deployment_id).where(operations.c.id == operation_id)
    row = (await conn.execute(query)).one_or_none()
    return None if row is None else Standing(OperationState(row.state), row.deployment_id or "")


async def state(conn: AsyncConnection, operation_id: str, *, lock: bool = False) -> OperationState | None:
    """Read how an operation stands, None for one without a record; its row is locked on request."""
    query = select(operations.c.state).where(operations.c.id == operation_id)
    found = await conn.scalar(query.with_for_update() if lock else query)
    return None if found is None else OperationState(found)


async def need(conn: AsyncConnection, deployment_id: str, besides: str) -> bool:
    """Tell whether a rollback or promotion to the deployment runs, or its start, besides the named operation."""
    kinds = (OperationKind.ROLLBACK, OperationKind.PROMOTE, OperationKind.DESIRED_STATE)
    query = select(operations.c.id).where(
        operations.c.deployment_id == deployment_id,
        operations.c.state == OperationState.RUNNING.value,
        operations.c.kind.in_([kind.value for kind in kinds]),
        operations.c.id != besides,
    )
    return (await conn.execute(query.limit(1))).first() is not None


async def woken_since(conn: AsyncConnection, deployment_id: str) -> int | None:
    """Return what was seen last (the pk of an instance) before an operation that runs set the deployment running.

    None where no such operation has woken it. A repeat of the step that woke it finds its own.
    """
    query = select(operations.c.detail).where(
        operations.c.deployment_id == deployment_id, operations.c.state == OperationState.RUNNING.value
    )
    details = [detail for detail in await conn.scalars(query) if detail and detail.get("woken")]
    return max((detail["seen_before"] for detail in details), default=None)


async def starting(conn: AsyncConnection, deployment_id: str) -> str:
    """Return the operation that is waking a deployment, empty where none is."""
    query = select(operations.c.id).where(
        operations.c.deployment_id == deployment_id,
        operations.c.kind == OperationKind.DESIRED_STATE.value,
        operations.c.state == OperationState.RUNNING.value,
    )
    return await conn.scalar(query.order_by(operations.c.started_at.desc()).limit(1)) or ""


async def detail(conn: AsyncConnection, operation_id: str) -> dict[str, Any]:
    """Read the facts that are kept with an operation; empty where it has no record."""
    return await conn.scalar(select(operations.c.detail).where(operations.c.id == operation_id)) or {}


async def came_from(conn: AsyncConnection, operation_id: str, deployment_id: str) -> None:
    """Record which deployment was live before the operation moved its traffic."""
    await conn.execute(
        update(operations).where(operations.c.id == operation_id).values(from_deployment_id=deployment_id)
    )


async def annotate(conn: AsyncConnection, operation_id: str, facts: Mapping[str, Any]) -> None:
    """Merge facts into the operation's detail."""
    detail = await conn.scalar(select(operations.c.detail).where(operations.c.id == operation_id).with_for_update())
    await conn.execute(
        update(operations).where(operations.c.id == operation_id).values(detail={**(detail or {}), **facts})
    )


async def tally(conn: AsyncConnection, operation_id: str, name: str, number: int) -> int:
    """Add to a number in the operation's detail, in the transaction of what it counts, and return the sum."""
    detail = await conn.scalar(select(operations.c.detail).where(operations.c.id == operation_id).with_for_update())
    total = int((detail or {}).get(name, 0)) + number
    await annotate(conn, operation_id, {name: total})
    return total
