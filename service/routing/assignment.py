"""Pointing listed routes to a deployment, for callers of the reference's contract (02 · 6)."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from service.database import apps, deployments, routes
from service.errors import FailedPrecondition, NotFound


@dataclass(frozen=True)
class Assignment:
    app_id: str
    deployment_id: str
    route_ids: Sequence[str]


async def assign(conn: AsyncConnection, assignment: Assignment, now_ms: int) -> None:
    """Point all listed routes to the deployment, or none.

    Raises NotFound for an app, deployment or route that does not exist, FailedPrecondition for one of another app.
    """
    if not assignment.route_ids:
        return
    await apps.lock(conn, assignment.app_id)
    if not await deployments.lock(conn, assignment.deployment_id):
        raise deployments.deployment_not_found(assignment.deployment_id)
    subject = await deployments.subject(conn, assignment.deployment_id)
    _check_app(f"the deployment {subject.deployment_id!r}", subject.app_id, assignment.app_id)
    found = await routes.by_id(conn, assignment.route_ids)
    for route_id in assignment.route_ids:
        if route_id not in found:
            raise NotFound(f"the route {route_id!r} does not exist", reason="ROUTE_NOT_FOUND")
        _check_app(f"the route {route_id!r}", found[route_id].app_id, assignment.app_id)
    await routes.point(conn, dict.fromkeys(assignment.route_ids, assignment.deployment_id), now_ms)


def _check_app(what: str, app_id: str, wanted: str) -> None:
    if app_id != wanted:
        raise FailedPrecondition(f"{what} belongs to another app than {wanted!r}", reason="OTHER_APP")
