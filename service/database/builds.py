"""The builds of deploys: who executes one, and what it made.

An execution holds a lease on the deployment's image name. A worker that died lets it run out; until then nobody else
builds, so that two executions never push under one name (06 · B5).
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database import attempts, deployments
from service.database.tables import hydra_builds as builds
from service.errors import Transient


class BuildState(StrEnum):
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True)
class Execution:
    """One execution of an operation's build; `number` counts from 1, `digest` is set where an earlier one succeeded."""

    operation_id: str
    number: int
    build_id: str | None = None
    image: str | None = None
    digest: str | None = None
    commit_sha: str | None = None


async def begin(conn: AsyncConnection, operation_id: str, deployment_id: str, now_ms: int, lease_ms: int) -> Execution:
    """Take the lease.

    Raises Transient while somebody holds it, and FailedPrecondition for an attempt that was taken over.
    """
    await deployments.lock(conn, deployment_id)
    await attempts.require(conn, deployment_id, operation_id)
    held = select(func.count()).where(builds.c.deployment_id == deployment_id, builds.c.lease_until > now_ms)
    if await conn.scalar(held):
        raise Transient("an earlier execution of this build may still run", reason="BUILD_LEASE_HELD")
    row = (await conn.execute(select(builds).where(builds.c.operation_id == operation_id))).mappings().one_or_none()
    if row is None:
        await conn.execute(insert(builds).values(**_first(operation_id, deployment_id, now_ms, now_ms + lease_ms)))
        return Execution(operation_id, number=1)
    made = {name: row[name] for name in ("build_id", "image", "digest", "commit_sha")}
    execution = Execution(operation_id, row["executions"] + 1, **made)
    if row["digest"] is None:
        await _change(conn, operation_id, executions=execution.number, lease_until=now_ms + lease_ms)
    return execution


def _first(operation_id: str, deployment_id: str, now_ms: int, lease_until: int) -> dict[str, Any]:
    return {
        "operation_id": operation_id,
        "deployment_id": deployment_id,
        "state": BuildState.RUNNING.value,
        "executions": 1,
        "failures": 0,
        "lease_until": lease_until,
        "started_at": now_ms,
    }


async def renew(conn: AsyncConnection, execution: Execution, lease_until: int) -> bool:
    """Prolong the lease; False where the execution no longer is the one that may build."""
    return await _own(conn, execution, lease_until=lease_until)


async def release(conn: AsyncConnection, execution: Execution) -> None:
    """Give the lease back, so that the next execution need not wait for its end."""
    await _own(conn, execution, lease_until=0)


async def name_remote(conn: AsyncConnection, execution: Execution, build_id: str) -> None:
    """Record what the builder calls the build."""
    await _own(conn, execution, build_id=build_id)


async def count_failure(conn: AsyncConnection, execution: Execution) -> int:
    """Count a failure that a new try may cure, and return how many there were."""
    await _own(conn, execution, failures=builds.c.failures + 1)
    failures = await conn.scalar(select(builds.c.failures).where(builds.c.operation_id == execution.operation_id))
    return int(failures or 0)


async def succeed(conn: AsyncConnection, execution: Execution, now_ms: int, **made: str) -> None:
    """Record what was made: `image`, `digest`, `build_id`, `commit_sha`. Raises Transient where the lease was lost."""
    ended = {"state": BuildState.SUCCEEDED.value, "ended_at": now_ms, "lease_until": 0}
    if not await _own(conn, execution, **made, **ended):
        raise Transient("the build's lease was lost", reason="BUILD_LEASE_LOST")


async def fail(conn: AsyncConnection, execution: Execution, now_ms: int) -> None:
    """Record that the build failed for good."""
    await _own(conn, execution, state=BuildState.FAILED.value, ended_at=now_ms, lease_until=0)


async def abandon(conn: AsyncConnection, operation_id: str, now_ms: int) -> None:
    """Record that the operation's build, if it has one that has not ended, never will: the operation is over."""
    await conn.execute(
        update(builds)
        .where(builds.c.operation_id == operation_id, builds.c.state == BuildState.RUNNING.value)
        .values(state=BuildState.FAILED.value, ended_at=now_ms)
    )


async def _own(conn: AsyncConnection, execution: Execution, **values: Any) -> bool:
    """Change the row if the execution still is the newest; the version of the row is its number."""
    changed = await conn.execute(
        update(builds)
        .where(builds.c.operation_id == execution.operation_id, builds.c.executions == execution.number)
        .values(**values)
    )
    return changed.rowcount == 1


async def _change(conn: AsyncConnection, operation_id: str, **values: Any) -> None:
    await conn.execute(update(builds).where(builds.c.operation_id == operation_id).values(**values))
