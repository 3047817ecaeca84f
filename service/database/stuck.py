"""What may be stuck, as the database has it: the reconciler asks Restate about each."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database.operations import OperationKind, OperationState
from service.database.tables import (
    apps,
    deployment_topology,
    deployments,
    environments,
    frontline_routes,
    hydra_deployment_attempts,
    hydra_operations,
    sentinels,
)
from service.domain.deployment import PREVIEW, DesiredState, Status, TopologyStatus
from service.domain.hostname import Sticky

_ENDED = tuple(status.value for status in Status if status.is_terminal)
_WAITING = (*_ENDED, Status.AWAITING_APPROVAL.value)


@dataclass(frozen=True)
class Unfinished:
    """An operation that runs, as far as its record says; ids are empty where they are not known."""

    operation_id: str
    kind: OperationKind
    app_id: str
    deployment_id: str
    started_at_ms: int


async def unfinished(conn: AsyncConnection, after: str, most: int) -> list[Unfinished]:
    """List the operations that run, by their ids from `after` on."""
    known = hydra_operations.c
    query = select(known.id, known.kind, known.app_id, known.deployment_id, known.started_at)
    rows = await conn.execute(
        query.where(known.state == OperationState.RUNNING.value, known.id > after).order_by(known.id).limit(most)
    )
    return [
        Unfinished(row.id, OperationKind(row.kind), row.app_id or "", row.deployment_id or "", row.started_at)
        for row in rows
    ]


async def forgotten(conn: AsyncConnection, before_ms: int, after: str, most: int) -> list[str]:
    """List deployments that are under way, with nothing written since `before_ms`, and that no operation works on.

    All lists here are by id, from `after` on.
    """
    known, attempts = deployments.c, hydra_deployment_attempts.c
    query = (
        select(known.id)
        .outerjoin(hydra_deployment_attempts, attempts.deployment_id == known.id)
        .where(
            known.id > after,
            known.status.not_in(_WAITING),
            func.coalesce(known.updated_at, known.created_at) < before_ms,
            or_(attempts.state.is_(None), attempts.state != OperationState.RUNNING.value),
        )
    )
    return list(await conn.scalars(query.order_by(known.id).limit(most)))


@dataclass(frozen=True)
class Misplaced:
    """A deployment that is set to run somewhere, and may have no reason to; status None where it does not exist."""

    deployment_id: str
    status: Status | None
    desired_state: DesiredState | None
    app_id: str


async def misplaced(conn: AsyncConnection, before_ms: int, after: str, most: int) -> list[Misplaced]:
    """List deployments that run, and are gone, failed, not to run, or of a lasting environment and not live.

    Only those that nothing was written to since `before_ms`, and that no operation works on. What is live is none.
    """
    known, topology, operation = deployments.c, deployment_topology.c, hydra_operations.c
    at_work = select(operation.id).where(
        operation.deployment_id == topology.deployment_id, operation.state == OperationState.RUNNING.value
    )
    without_reason = or_(
        known.id.is_(None),
        known.status == Status.FAILED.value,
        and_(known.desired_state != DesiredState.RUNNING.value, known.status.in_(_ENDED)),
        _of_a_lasting_environment(),
    )
    query = (
        select(topology.deployment_id, known.status, known.desired_state, known.app_id)
        .distinct()
        .select_from(
            deployment_topology.outerjoin(deployments, known.id == topology.deployment_id)
            .outerjoin(apps, apps.c.id == known.app_id)
            .outerjoin(environments, environments.c.id == known.environment_id)
        )
        .where(
            topology.deployment_id > after,
            topology.desired_status == TopologyStatus.RUNNING.value,
            or_(apps.c.current_deployment_id.is_(None), apps.c.current_deployment_id != topology.deployment_id),
            func.coalesce(topology.updated_at, topology.created_at) < before_ms,
            func.coalesce(known.updated_at, known.created_at, 0) < before_ms,
            without_reason,
            ~at_work.exists(),
        )
    )
    rows = await conn.execute(query.order_by(topology.deployment_id).limit(most))
    return [
        Misplaced(
            row.deployment_id,
            None if row.status is None else Status(row.status),
            None if row.desired_state is None else DesiredState(row.desired_state),
            row.app_id or "",
        )
        for row in rows
    ]


async def is_to_stop(conn: AsyncConnection, deployment_id: str) -> bool:
    """Tell whether a deployment is gone, has failed or is not to run, whatever its topologies say."""
    query = select(deployments.c.status, deployments.c.desired_state).where(deployments.c.id == deployment_id)
    row = (await conn.execute(query)).one_or_none()
    return row is None or row.status == Status.FAILED or row.desired_state != DesiredState.RUNNING


def _of_a_lasting_environment() -> ColumnElement[bool]:
    """Say what may have lost its place: previews have none to lose, and a name that follows others is one."""
    known, route = deployments.c, frontline_routes.c
    followed = select(route.pk).where(
        route.deployment_id == known.id, route.sticky.in_((Sticky.LIVE.value, Sticky.ENVIRONMENT.value))
    )
    return and_(
        environments.c.slug != PREVIEW,
        known.status == Status.READY.value,
        known.desired_state == DesiredState.RUNNING.value,
        apps.c.id.is_not(None),
        ~followed.exists(),
    )


@dataclass(frozen=True)
class Resting:
    """A deployment that is live, and that is not ready or does not run."""

    app_id: str
    deployment_id: str
    status: Status
    desired_state: DesiredState


async def resting(conn: AsyncConnection, before_ms: int, after: str, most: int) -> list[Resting]:
    """List live deployments that do not run, or are not ready since `before_ms`, by their apps' ids from `after` on.

    One that an operation works on is none. Another worker may write the live pointer before the status.
    """
    known, topology, operation = deployments.c, deployment_topology.c, hydra_operations.c
    runs = select(topology.pk).where(
        topology.deployment_id == known.id, topology.desired_status == TopologyStatus.RUNNING.value
    )
    at_work = select(operation.id).where(
        operation.deployment_id == known.id, operation.state == OperationState.RUNNING.value
    )
    query = (
        select(apps.c.id, known.id, known.status, known.desired_state)
        .join(deployments, known.id == apps.c.current_deployment_id)
        .where(
            apps.c.id > after,
            or_(
                and_(known.status != Status.READY.value, func.coalesce(known.updated_at, known.created_at) < before_ms),
                known.desired_state != DesiredState.RUNNING.value,
                ~runs.exists(),
            ),
            ~at_work.exists(),
        )
    )
    rows = await conn.execute(query.order_by(apps.c.id).limit(most))
    return [Resting(row[0], row[1], Status(row[2]), DesiredState(row[3])) for row in rows]


@dataclass(frozen=True)
class LostSentinel:
    """A sentinel of an environment that does not exist."""

    sentinel_id: str
    environment_id: str
    region_id: str


async def lost_sentinels(conn: AsyncConnection, before_ms: int, after: str, most: int) -> list[LostSentinel]:
    """List sentinels that run for environments that do not exist."""
    known = sentinels.c
    query = (
        select(known.id, known.environment_id, known.region_id)
        .outerjoin(environments, environments.c.id == known.environment_id)
        .where(
            known.id > after,
            environments.c.id.is_(None),
            known.desired_state == DesiredState.RUNNING.value,
            func.coalesce(known.updated_at, known.created_at) < before_ms,
        )
    )
    return [LostSentinel(*row) for row in await conn.execute(query.order_by(known.id).limit(most))]


@dataclass(frozen=True)
class LostRoute:
    """A route that leads to nothing.

    `live_id` is the app's live deployment where that is to have the route and can serve; else it is empty.
    """

    route_id: str
    fqdn: str
    sticky: Sticky
    deployment_id: str
    app_id: str
    live_id: str


async def lost_routes(conn: AsyncConnection, before_ms: int, after: str, most: int) -> list[LostRoute]:
    """List routes to deployments that do not exist, and to failed ones where the live one is to have them.

    The names of a failed deployment that nobody else is to have stay with it until the next one is there.
    """
    route, owner, live = frontline_routes.c, deployments.alias("owner"), deployments.alias("live")
    takes_over = and_(
        live.c.id == apps.c.current_deployment_id,
        live.c.environment_id == route.environment_id,
        live.c.status == Status.READY.value,
        live.c.desired_state == DesiredState.RUNNING.value,
        route.sticky.in_((Sticky.LIVE.value, Sticky.ENVIRONMENT.value)),
    )
    query = (
        select(
            route.id,
            route.fully_qualified_domain_name,
            route.sticky,
            route.deployment_id,
            route.app_id,
            func.coalesce(live.c.id, ""),
        )
        .select_from(
            frontline_routes.outerjoin(owner, owner.c.id == route.deployment_id)
            .outerjoin(apps, apps.c.id == route.app_id)
            .outerjoin(live, takes_over)
        )
        .where(
            route.id > after,
            or_(owner.c.id.is_(None), and_(owner.c.status == Status.FAILED.value, live.c.id.is_not(None))),
            func.coalesce(route.updated_at, route.created_at) < before_ms,
        )
    )
    rows = await conn.execute(query.order_by(route.id).limit(most))
    return [LostRoute(row[0], row[1], Sticky(row[2]), *row[3:]) for row in rows]


async def ended(
    conn: AsyncConnection, deployment_ids: list[str], before_ms: int | None = None
) -> dict[str, tuple[Status, str]]:
    """Return those that ended, `before_ms` if given: id → status and error (empty for none)."""
    known, attempt, operation = deployments.c, hydra_deployment_attempts.c, hydra_operations.c
    query = (
        select(known.id, known.status, operation.message.label("error"))
        .outerjoin(hydra_deployment_attempts, attempt.deployment_id == known.id)
        .outerjoin(hydra_operations, operation.id == attempt.operation_id)
        .where(known.id.in_(deployment_ids), known.status.in_(_ENDED))
    )
    if before_ms is not None:
        query = query.where(func.coalesce(known.updated_at, 0) < before_ms)
    return {row.id: (Status(row.status), row.error or "") for row in await conn.execute(query)}
