"""The record of operations: what was asked, by whom, and how it ended."""

from collections.abc import Mapping
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
