"""What an operator wants to see of one deployment: how far it is, where it runs, what leads to it, who worked on it."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from sqlalchemy import case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database.deployments import deployment_not_found
from service.database.tables import (
    apps,
    deployment_steps,
    deployment_topology,
    deployments,
    environments,
    frontline_routes,
    hydra_deployment_attempts,
    hydra_operations,
    instances,
    projects,
    regions,
    workspaces,
)
from service.domain.deployment import Step
from service.domain.hostname import Sticky


@dataclass(frozen=True)
class StepRun:
    """One step of the newest attempt; `ended_at_ms` is None while it runs."""

    step: str
    started_at_ms: int
    ended_at_ms: int | None
    error: str | None

    @property
    def duration_ms(self) -> int | None:
        return None if self.ended_at_ms is None else self.ended_at_ms - self.started_at_ms


@dataclass(frozen=True)
class RegionState:
    """What is desired in a region, and its instances counted by status. `name` is the id of a region that is gone."""

    region_id: str
    name: str
    desired_replicas: int
    desired_status: str
    version: int
    instances: dict[str, int]


@dataclass(frozen=True)
class Progress:
    """How far a deploy is: steps in their order, regions by name."""

    status: str
    steps: tuple[StepRun, ...]
    regions: tuple[RegionState, ...]


@dataclass(frozen=True)
class RouteState:
    """A host name, what it follows, and where it leads."""

    fqdn: str
    sticky: str
    deployment_id: str
    points_here: bool


@dataclass(frozen=True)
class OperationRecord:
    """The operation of the newest attempt; the id is Restate's invocation id."""

    id: str
    kind: str
    state: str
    caller: str
    reason: str | None
    message: str | None
    detail: Any
    started_at_ms: int
    ended_at_ms: int | None


@dataclass(frozen=True)
class Overview:
    """One deployment. Workspace, project, app and environment are slugs, None where the row is gone.

    `attempt` counts from 1 and is 0 where nobody has deployed it yet; `is_live` says that it is its app's current
    deployment. `routes` lead here, or could: those of the environment that move.
    """

    deployment_id: str
    workspace: str | None
    project: str | None
    app: str | None
    environment: str | None
    status: str
    desired_state: str
    is_live: bool
    image: str | None
    git_commit_sha: str | None
    git_branch: str | None
    created_at_ms: int
    updated_at_ms: int | None
    attempt: int
    steps: tuple[StepRun, ...]
    regions: tuple[RegionState, ...]
    routes: tuple[RouteState, ...]
    operation: OperationRecord | None


async def progress(conn: AsyncConnection, deployment_id: str) -> Progress:
    """Read how far a deploy is, in three queries. Raises NotFound."""
    # The status first: once it is final, the steps that are read after it are complete.
    row = (await conn.execute(select(deployments.c.id, deployments.c.status).filter_by(id=deployment_id))).one_or_none()
    if row is None or row.id != deployment_id:
        raise deployment_not_found(deployment_id)
    return Progress(row.status, await _steps(conn, deployment_id), await _regions(conn, deployment_id))


async def overview(conn: AsyncConnection, deployment_id: str) -> Overview:
    """Read everything of one deployment. Raises NotFound."""
    row = (await conn.execute(_DEPLOYMENT.where(deployments.c.id == deployment_id))).mappings().one_or_none()
    if row is None or row["deployment_id"] != deployment_id:
        raise deployment_not_found(deployment_id)
    facts = dict(row)
    return Overview(
        **{name: facts[name] for name in facts if name in Overview.__dataclass_fields__},
        is_live=facts["current_deployment_id"] == deployment_id,
        attempt=facts["number"] or 0,
        steps=await _steps(conn, deployment_id),
        regions=await _regions(conn, deployment_id),
        routes=await _routes(conn, deployment_id, facts["environment_id"]),
        operation=await _operation(conn, facts["operation_id"]),
    )


_DEPLOYMENT = select(
    deployments.c.id.label("deployment_id"),
    workspaces.c.slug.label("workspace"),
    projects.c.slug.label("project"),
    apps.c.slug.label("app"),
    environments.c.slug.label("environment"),
    deployments.c.status,
    deployments.c.desired_state,
    apps.c.current_deployment_id,
    deployments.c.image,
    deployments.c.git_commit_sha,
    deployments.c.git_branch,
    deployments.c.created_at.label("created_at_ms"),
    deployments.c.updated_at.label("updated_at_ms"),
    deployments.c.environment_id,
    hydra_deployment_attempts.c.attempt.label("number"),
    hydra_deployment_attempts.c.operation_id,
).select_from(
    deployments.outerjoin(workspaces, workspaces.c.id == deployments.c.workspace_id)
    .outerjoin(projects, projects.c.id == deployments.c.project_id)
    .outerjoin(apps, apps.c.id == deployments.c.app_id)
    .outerjoin(environments, environments.c.id == deployments.c.environment_id)
    .outerjoin(hydra_deployment_attempts, hydra_deployment_attempts.c.deployment_id == deployments.c.id)
)


async def _steps(conn: AsyncConnection, deployment_id: str) -> tuple[StepRun, ...]:
    steps = deployment_steps.c
    rows = await conn.execute(
        select(steps.step, steps.started_at, steps.ended_at, steps.error).where(steps.deployment_id == deployment_id)
    )
    return tuple(sorted((StepRun(*row) for row in rows), key=lambda run: _ORDER.get(run.step, len(_ORDER))))


_ORDER = {step.value: place for place, step in enumerate(Step)}


async def _regions(conn: AsyncConnection, deployment_id: str) -> tuple[RegionState, ...]:
    topology = deployment_topology.c
    counted = await conn.execute(
        select(instances.c.region_id, instances.c.status, func.count(instances.c.pk))
        .where(instances.c.deployment_id == deployment_id)
        .group_by(instances.c.region_id, instances.c.status)
    )
    by_region: dict[str, dict[str, int]] = defaultdict(dict)
    for region_id, status, count in counted:
        by_region[region_id][status] = count
    rows = await conn.execute(
        select(
            topology.region_id,
            func.coalesce(regions.c.name, topology.region_id),
            topology.desired_replicas,
            topology.desired_status,
            topology.version,
        )
        .outerjoin(regions, regions.c.id == topology.region_id)
        .where(topology.deployment_id == deployment_id)
        .order_by(regions.c.name, topology.region_id)
    )
    return tuple(RegionState(*row, instances=by_region.get(row.region_id, {})) for row in rows)


# Routes that lead somewhere else are of interest only where a deploy or a promote could move them here.
_MOVING = (Sticky.LIVE, Sticky.ENVIRONMENT, Sticky.BRANCH)
_BY_INTEREST = {sticky.value: place for place, sticky in enumerate((*_MOVING, Sticky.DEPLOYMENT, Sticky.NONE))}


async def _routes(conn: AsyncConnection, deployment_id: str, environment_id: str) -> tuple[RouteState, ...]:
    route = frontline_routes.c
    rows = await conn.execute(
        select(route.fully_qualified_domain_name, route.sticky, route.deployment_id)
        .where(
            (route.deployment_id == deployment_id)
            | (route.environment_id == environment_id) & route.sticky.in_([sticky.value for sticky in _MOVING])
        )
        .order_by(case(_BY_INTEREST, value=route.sticky), route.fully_qualified_domain_name)
    )
    return tuple(RouteState(*row, points_here=row.deployment_id == deployment_id) for row in rows)


async def _operation(conn: AsyncConnection, operation_id: str | None) -> OperationRecord | None:
    record = hydra_operations.c
    row = (
        await conn.execute(
            select(
                record.id,
                record.kind,
                record.state,
                record.caller,
                record.reason,
                record.message,
                record.detail,
                record.started_at,
                record.ended_at,
            ).where(record.id == operation_id)
        )
    ).one_or_none()
    return None if row is None else OperationRecord(*row)
