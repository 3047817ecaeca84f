"""Preview deployments that may be put to rest (02 · 4)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, case, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database import versions
from service.database.tables import apps, deployment_topology, deployments, environments, frontline_routes
from service.domain.deployment import PREVIEW, DesiredState, Status, TopologyStatus
from service.domain.hostname import Sticky

ENVIRONMENTS_PER_PAGE = 100


@dataclass(frozen=True)
class Candidate:
    """A deployment that is old enough to be idle, and where it belongs."""

    workspace_id: str
    project_id: str
    environment_id: str
    app_id: str
    deployment_id: str


@dataclass(frozen=True)
class Page:
    """Candidates of up to 100 preview environments; `cursor` is the last one's pk, None after the last page."""

    cursor: int | None
    candidates: list[Candidate]


async def page(conn: AsyncConnection, after_pk: int, cutoff_ms: int) -> Page:
    """Read the next page of environments and, in the same query, what in them is ready, running and old enough."""
    chosen = (
        select(environments.c.pk, environments.c.id)
        .where(environments.c.slug == PREVIEW, environments.c.pk > after_pk)
        .order_by(environments.c.pk)
        .limit(ENVIRONMENTS_PER_PAGE)
        .subquery()
    )
    rows = (
        await conn.execute(
            select(
                chosen.c.pk,
                deployments.c.workspace_id,
                deployments.c.project_id,
                deployments.c.environment_id,
                deployments.c.app_id,
                deployments.c.id,
            )
            .select_from(
                chosen.outerjoin(deployments, and_(deployments.c.environment_id == chosen.c.id, _idle_since(cutoff_ms)))
            )
            .order_by(chosen.c.pk, deployments.c.pk)
        )
    ).all()
    candidates = [Candidate(*row[1:]) for row in rows if row.id is not None]
    return Page(rows[-1].pk if rows else None, candidates)


@dataclass(frozen=True)
class PassedOver:
    """A preview that is ready and meant to run, but is not looked at: it is live, or was touched since the cutoff."""

    app_id: str
    deployment_id: str
    is_live: bool
    touched_at_ms: int


async def passed_over(conn: AsyncConnection, after_pk: int, cursor: int, cutoff_ms: int) -> list[PassedOver]:
    """Read what `page` left out of the page that ends at `cursor`, in its order. What does not run is no news."""
    deployment = deployments.c
    rows = await conn.execute(
        select(
            deployment.app_id,
            deployment.id,
            _is_live().label("is_live"),
            func.coalesce(deployment.updated_at, deployment.created_at),
        )
        .join(environments, environments.c.id == deployment.environment_id)
        .where(environments.c.slug == PREVIEW, environments.c.pk > after_pk, environments.c.pk <= cursor)
        .where(_serving(), ~_idle_since(cutoff_ms))
        .order_by(environments.c.pk, deployment.pk)
    )
    return [PassedOver(app_id, id_, bool(is_live), touched_at) for app_id, id_, is_live, touched_at in rows]


def _idle_since(cutoff_ms: int) -> ColumnElement[bool]:
    """Say what can be idle: ready, meant to run, not live, and untouched since the cutoff (strictly before it)."""
    return and_(
        _serving(),
        deployments.c.created_at < cutoff_ms,
        or_(deployments.c.updated_at.is_(None), deployments.c.updated_at < cutoff_ms),
        ~_is_live(),
    )


def _serving() -> ColumnElement[bool]:
    return and_(deployments.c.status == Status.READY.value, deployments.c.desired_state == DesiredState.RUNNING.value)


def _is_live() -> ColumnElement[bool]:
    """Say what must run: its app's live deployment, and what a route leads to that follows what is live."""
    live = select(apps.c.current_deployment_id).where(
        apps.c.id == deployments.c.app_id, apps.c.current_deployment_id == deployments.c.id
    )
    followed = select(frontline_routes.c.pk).where(
        frontline_routes.c.deployment_id == deployments.c.id, frontline_routes.c.sticky == Sticky.LIVE.value
    )
    return or_(live.exists(), followed.exists())


async def put_to_standby(conn: AsyncConnection, idle: Sequence[Candidate], cutoff_ms: int, now_ms: int) -> list[str]:
    """Put deployments to standby that are still idle under the locks, and return their ids, in order.

    Apps are locked first, as by a switch of traffic: what has become live meanwhile, or was touched, stays.
    """
    app_ids = sorted({candidate.app_id for candidate in idle})
    await conn.execute(select(apps.c.pk).where(apps.c.id.in_(app_ids)).order_by(apps.c.id).with_for_update())
    ids = sorted(candidate.deployment_id for candidate in idle)
    still = (
        select(deployments.c.id)
        .where(deployments.c.id.in_(ids), _idle_since(cutoff_ms))
        .order_by(deployments.c.id)
        .with_for_update()
    )
    stopping = list(await conn.scalars(still))
    if stopping:
        await _stop_topologies(conn, stopping, now_ms)
        standby = {"desired_state": DesiredState.STANDBY.value, "updated_at": now_ms}
        await conn.execute(update(deployments).where(deployments.c.id.in_(stopping)).values(standby))
    return stopping


async def _stop_topologies(conn: AsyncConnection, deployment_ids: Sequence[str], now_ms: int) -> None:
    rows = (
        await conn.execute(
            select(deployment_topology.c.pk, deployment_topology.c.region_id)
            .where(
                deployment_topology.c.deployment_id.in_(deployment_ids),
                deployment_topology.c.desired_status == TopologyStatus.RUNNING.value,
            )
            .order_by(deployment_topology.c.pk)
        )
    ).all()
    if not rows:
        return
    stamps = await versions.lock(conn, {row.region_id for row in rows})
    taken: Mapping[int, int] = {row.pk: stamps.take(row.region_id) for row in rows}
    await conn.execute(
        update(deployment_topology)
        .where(deployment_topology.c.pk.in_(sorted(taken)))
        .values(
            desired_status=TopologyStatus.STOPPED.value,
            version=case(dict(taken), value=deployment_topology.c.pk),
            updated_at=now_ms,
        )
    )
    await stamps.save(conn)
