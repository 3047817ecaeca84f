"""Frontline routes: which host name leads to which deployment."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, and_, case, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database.tables import deployments, environments, frontline_routes
from service.database.upsert import insert_ignore
from service.domain.deployment import PREVIEW, Status
from service.domain.hostname import Sticky


@dataclass(frozen=True)
class Owner:
    """The deployment that a route points to; all None where it no longer exists."""

    environment_id: str | None
    created_at: int | None
    status: str | None
    git_branch: str | None
    fork_repository_full_name: str | None


@dataclass(frozen=True)
class Route:
    route_id: str
    app_id: str
    environment_id: str
    deployment_id: str
    fqdn: str
    sticky: Sticky
    owner: Owner


async def of_environment(conn: AsyncConnection, environment_id: str, sticky: Collection[Sticky]) -> list[Route]:
    """Lock and read an environment's routes of the given kinds, in id order, with their owners."""
    kinds = sorted(kind.value for kind in sticky)
    return await _locked(
        conn, (frontline_routes.c.environment_id == environment_id) & frontline_routes.c.sticky.in_(kinds)
    )


async def by_fqdn(conn: AsyncConnection, fqdns: Iterable[str]) -> dict[str, Route]:
    """Lock and read routes by host name; the keys are in lower case, as host names know no case."""
    found = await _locked(conn, frontline_routes.c.fully_qualified_domain_name.in_(sorted(fqdns)))
    return {route.fqdn.lower(): route for route in found}


async def by_id(conn: AsyncConnection, route_ids: Iterable[str]) -> dict[str, Route]:
    """Lock and read routes by id."""
    found = await _locked(conn, frontline_routes.c.id.in_(sorted(set(route_ids))))
    return {route.route_id: route for route in found}


async def insert_missing(conn: AsyncConnection, rows: list[dict[str, Any]]) -> None:
    """Insert routes whose host names are still free; the others stay with their owners."""
    if rows:
        await insert_ignore(conn, frontline_routes, rows)


async def point(conn: AsyncConnection, owners: Mapping[str, str], now_ms: int) -> None:
    """Point routes to deployments, route id → deployment id, in one statement."""
    if not owners:
        return
    await conn.execute(
        update(frontline_routes)
        .where(frontline_routes.c.id.in_(sorted(owners)))
        .values(deployment_id=case(dict(sorted(owners.items())), value=frontline_routes.c.id), updated_at=now_ms)
    )


async def followed(conn: AsyncConnection, deployment_ids: Collection[str], besides: Collection[str]) -> set[str]:
    """Return those deployments to which a route leads that follows a branch, an environment or what is live.

    The routes in `besides` do not count.
    """
    if not deployment_ids:
        return set()
    kinds = [kind.value for kind in (Sticky.BRANCH, Sticky.ENVIRONMENT, Sticky.LIVE)]
    query = select(frontline_routes.c.deployment_id).where(
        frontline_routes.c.deployment_id.in_(sorted(deployment_ids)),
        frontline_routes.c.sticky.in_(kinds),
        frontline_routes.c.id.not_in(sorted(besides)),
    )
    return set(await conn.scalars(query))


async def serve_live_traffic(conn: AsyncConnection, deployment_id: str) -> bool:
    """Tell whether a route that follows what is live leads to the deployment, and it once became ready.

    A deployment that never did has such routes only where it was the first to reserve a name. Names of preview
    environments lead to what the sweep puts to rest: they do not count.
    """
    query = (
        select(frontline_routes.c.id)
        .join(deployments, deployments.c.id == frontline_routes.c.deployment_id)
        .outerjoin(environments, environments.c.id == frontline_routes.c.environment_id)
        .where(
            frontline_routes.c.deployment_id == deployment_id,
            deployments.c.status == Status.READY.value,
            or_(
                frontline_routes.c.sticky == Sticky.LIVE.value,
                and_(frontline_routes.c.sticky == Sticky.ENVIRONMENT.value, environments.c.slug != PREVIEW),
            ),
        )
    )
    return (await conn.execute(query.limit(1))).first() is not None


async def _locked(conn: AsyncConnection, condition: Any) -> list[Route]:
    """Lock the routes, then read their owners: a lock on owners too would hold up deploys that move nothing."""
    routes = (
        await conn.execute(select(frontline_routes).where(condition).order_by(frontline_routes.c.id).with_for_update())
    ).all()
    rows = await conn.execute(_OWNERS.where(deployments.c.id.in_(sorted({route.deployment_id for route in routes}))))
    owners = {row.id: Owner(*row[1:]) for row in rows}
    return [
        Route(
            route.id,
            route.app_id,
            route.environment_id,
            route.deployment_id,
            route.fully_qualified_domain_name,
            Sticky(route.sticky),
            owners.get(route.deployment_id, _NOBODY),
        )
        for route in routes
    ]


_NOBODY = Owner(None, None, None, None, None)
_OWNERS: Select[Any] = select(
    deployments.c.id,
    deployments.c.environment_id,
    deployments.c.created_at,
    deployments.c.status,
    deployments.c.git_branch,
    deployments.c.fork_repository_full_name,
)
