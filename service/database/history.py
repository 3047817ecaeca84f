"""What happened: operations, newest first, and what was live when in an app."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database.tables import (
    apps,
    deployments,
    environments,
    hydra_operations,
    hydra_traffic_switches,
    projects,
    workspaces,
)
from service.domain.deployment import PRODUCTION, DesiredState
from service.errors import NotFound


@dataclass(frozen=True)
class Operation:
    """One operation; the id is Restate's invocation id, workspace, project and app are slugs, None where not known.

    `from_deployment_id` was live before and `to_deployment_id` was to get the traffic. Times are Unix ms.
    """

    id: str
    kind: str
    state: str
    caller: str
    workspace: str | None
    project: str | None
    app: str | None
    environment: str | None
    deployment_id: str | None
    from_deployment_id: str | None
    to_deployment_id: str | None
    reason: str | None
    message: str | None
    detail: Any
    started_at_ms: int
    ended_at_ms: int | None

    @property
    def duration_ms(self) -> int | None:
        return None if self.ended_at_ms is None else self.ended_at_ms - self.started_at_ms


@dataclass(frozen=True)
class Turn:
    """One switch of an app's traffic: `deployment_id` got what it could, and then `live_deployment_id` was live.

    `is_rolled_back`: an operator had gone back to what is live, and new deploys stay unrouted. A turn that was
    reverted gave back what it took. Times are Unix ms.
    """

    operation_id: str
    kind: str
    caller: str | None
    deployment_id: str
    from_deployment_id: str | None
    live_deployment_id: str | None
    is_rolled_back: bool
    switched_at_ms: int
    reverted_at_ms: int | None


async def operation(conn: AsyncConnection, operation_id: str) -> Operation:
    """Read one operation. Raises NotFound."""
    row = (await conn.execute(_OPERATIONS.where(hydra_operations.c.id == operation_id))).one_or_none()
    if row is None:
        raise NotFound(f"there is no operation {operation_id!r}", reason="OPERATION_NOT_FOUND")
    return Operation(*row)


async def operations(conn: AsyncConnection, app_id: str | None, limit: int) -> list[Operation]:
    """List operations, newest first: those of an app, or all."""
    query = _OPERATIONS.order_by(hydra_operations.c.started_at.desc(), hydra_operations.c.id).limit(limit)
    if app_id is not None:
        # What was refused at once names a deployment only.
        by_deployment = and_(hydra_operations.c.app_id.is_(None), deployments.c.app_id == app_id)
        query = query.where(or_(hydra_operations.c.app_id == app_id, by_deployment))
    return [Operation(*row) for row in await conn.execute(query)]


async def set_running_at(conn: AsyncConnection, deployment_id: str) -> int:
    """Read when somebody last set a deployment running by a change of its desired state (Unix ms), 0 for never."""
    known = hydra_operations.c
    query = select(known.ended_at, known.detail).where(
        known.deployment_id == deployment_id, known.kind == "desired_state", known.state == "succeeded"
    )
    changes = [row for row in await conn.execute(query) if row.detail["desired_state"] == DesiredState.RUNNING]
    return max((row.ended_at for row in changes), default=0)


async def turns(conn: AsyncConnection, app_id: str, limit: int) -> list[Turn]:
    """List an app's switches of traffic, newest first. Deploys to other environments are left out: none goes live."""
    switch = hydra_traffic_switches.c
    query = (
        select(
            switch.operation_id,
            switch.kind,
            hydra_operations.c.caller,
            switch.deployment_id,
            switch.previous_deployment_id,
            switch.live_deployment_id,
            switch.is_rolled_back,
            switch.switched_at,
            switch.reverted_at,
        )
        .outerjoin(hydra_operations, hydra_operations.c.id == switch.operation_id)
        .outerjoin(environments, environments.c.id == switch.environment_id)
        .where(switch.app_id == app_id, switch.switched_at.is_not(None))
        .where(or_(switch.kind != "deploy", environments.c.slug == PRODUCTION))
        .order_by(switch.switched_at.desc())
        .limit(limit)
    )
    return [Turn(*row) for row in await conn.execute(query)]


_OPERATIONS: Select[Any] = select(
    hydra_operations.c.id,
    hydra_operations.c.kind,
    hydra_operations.c.state,
    hydra_operations.c.caller,
    workspaces.c.slug,
    projects.c.slug,
    apps.c.slug,
    environments.c.slug,
    hydra_operations.c.deployment_id,
    hydra_operations.c.from_deployment_id,
    hydra_operations.c.to_deployment_id,
    hydra_operations.c.reason,
    hydra_operations.c.message,
    hydra_operations.c.detail,
    hydra_operations.c.started_at,
    hydra_operations.c.ended_at,
).select_from(
    hydra_operations.outerjoin(deployments, deployments.c.id == hydra_operations.c.deployment_id)
    .outerjoin(apps, apps.c.id == func.coalesce(hydra_operations.c.app_id, deployments.c.app_id))
    .outerjoin(projects, projects.c.id == apps.c.project_id)
    .outerjoin(workspaces, workspaces.c.id == apps.c.workspace_id)
    .outerjoin(
        environments,
        environments.c.id == func.coalesce(hydra_operations.c.environment_id, deployments.c.environment_id),
    )
)
