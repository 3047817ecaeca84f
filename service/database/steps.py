"""The steps of a deploy. A step and the deployment's status change together, in the caller's transaction."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, update
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database.deployments import Subject, change
from service.database.tables import deployment_steps
from service.database.upsert import upsert
from service.domain.deployment import Status, Step, step_error


async def advance(conn: AsyncConnection, of: Subject, steps: Sequence[Step], now_ms: int, **columns: Any) -> None:
    """End the step that runs, pass through all of `steps` but the last, and begin that one.

    A step that is entered again starts over. The deployment's status follows, and `columns` of it change along.
    """
    await _end(conn, of.deployment_id, None, now_ms)
    rows = [_row(of, step, now_ms, ended_at=None if step is steps[-1] else now_ms) for step in steps]
    changing = ("started_at", "ended_at", "error")
    await upsert(conn, deployment_steps, rows, key=("deployment_id", "step"), update=changing)
    await change(conn, of.deployment_id, now_ms, status=steps[-1].status.value, **columns)


async def finish(conn: AsyncConnection, deployment_id: str, now_ms: int) -> None:
    """End the step that runs and set the deployment `ready`."""
    await _end(conn, deployment_id, None, now_ms)
    await change(conn, deployment_id, now_ms, status=Status.READY.value)


async def fail(conn: AsyncConnection, deployment_id: str, message: str, now_ms: int) -> None:
    """End the step that runs with a message for the app's owner and set the deployment `failed`."""
    await _end(conn, deployment_id, step_error(message), now_ms)
    await change(conn, deployment_id, now_ms, status=Status.FAILED.value)


async def leave_ready(conn: AsyncConnection, deployment_id: str, message: str, now_ms: int) -> None:
    """End the step that runs with a message, as `fail` does, but leave the deployment `ready`: it is what is live."""
    await _end(conn, deployment_id, step_error(message), now_ms)
    await change(conn, deployment_id, now_ms, status=Status.READY.value)


async def forget(conn: AsyncConnection, deployment_id: str) -> None:
    """Remove the steps of an earlier attempt, all but `queued`, so that the new attempt's stand alone."""
    await conn.execute(
        delete(deployment_steps).where(
            deployment_steps.c.deployment_id == deployment_id, deployment_steps.c.step != Step.QUEUED.value
        )
    )


async def _end(conn: AsyncConnection, deployment_id: str, error: str | None, now_ms: int) -> None:
    await conn.execute(
        update(deployment_steps)
        .where(deployment_steps.c.deployment_id == deployment_id, deployment_steps.c.ended_at.is_(None))
        .values(ended_at=now_ms, error=error)
    )


def _row(of: Subject, step: Step, now_ms: int, ended_at: int | None) -> dict[str, Any]:
    return {
        "workspace_id": of.workspace_id,
        "project_id": of.project_id,
        "app_id": of.app_id,
        "environment_id": of.environment_id,
        "deployment_id": of.deployment_id,
        "step": step.value,
        "started_at": now_ms,
        "ended_at": ended_at,
        "error": None,
    }
