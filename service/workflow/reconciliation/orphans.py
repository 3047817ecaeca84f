"""Routes and sentinels that lead to nothing, and deployments that nobody works on."""

from datetime import timedelta
from functools import partial

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from service.clock import now_ms
from service.database import apps, routes, sentinels, stuck
from service.database.stuck import LostRoute, LostSentinel
from service.domain.reconciliation import Finding, Kind
from service.workflow.reconciliation.round import MOST, Page, Round
from service.workflow.underway import deploys_under_way

log = structlog.get_logger(__name__)

# The control API makes the row first and asks for the deploy then; who approves it may take a while.
_FORGOTTEN_AFTER = timedelta(hours=1)


async def tell_of_forgotten_deployments(this: Round) -> None:
    """List the deployments that are under way by their rows alone."""

    async def look(after: str) -> Page[Finding]:
        before_ms = now_ms() - int(_FORGOTTEN_AFTER.total_seconds() * 1000)
        found = await this.runtime.database.read(lambda conn: stuck.forgotten(conn, before_ms, after, MOST))
        under_way = await deploys_under_way(this.runtime.restate) if found else {}
        message = "under way for its row alone: deploy it again, or cancel it"
        forgotten = [
            Finding(Kind.DEPLOYMENT_FORGOTTEN, each, message, curable=False) for each in found if each not in under_way
        ]
        return Page(forgotten, found[-1] if len(found) == MOST else "")

    async for finding in this.pages("look for forgotten deployments", Finding, look):
        this.findings.append(finding)


async def archive_lost_sentinels(this: Round) -> None:
    """Stop the sentinels of environments that do not exist."""

    async def look(after: str) -> Page[LostSentinel]:
        quiet_since = this.quiet_since()
        found = await this.runtime.database.read(lambda conn: stuck.lost_sentinels(conn, quiet_since, after, MOST))
        return Page(found, found[-1].sentinel_id if len(found) == MOST else "")

    async for lost in this.pages("look for lost sentinels", LostSentinel, look):
        message = f"runs for the environment {lost.environment_id}, which does not exist: it is archived"
        finding = Finding(Kind.SENTINEL_ORPHANED, lost.sentinel_id, message)
        await this.settle(finding, partial(_archive, this, lost))


async def _archive(this: Round, lost: LostSentinel) -> None:
    async def work(conn: AsyncConnection) -> None:
        await sentinels.archive(conn, lost.sentinel_id, lost.region_id, now_ms())
        log.warning("archived a sentinel of no environment", sentinel=lost.sentinel_id)

    await this.step("archive sentinel", type(None), lambda: this.runtime.database.transact(work))


async def point_lost_routes(this: Round) -> None:
    """Point routes that lead to nothing to the live deployment, where it is that which they follow; list the rest."""

    async def look(after: str) -> Page[LostRoute]:
        quiet_since = this.quiet_since()
        found = await this.runtime.database.read(lambda conn: stuck.lost_routes(conn, quiet_since, after, MOST))
        return Page(found, found[-1].route_id if len(found) == MOST else "")

    async for lost in this.pages("look for lost routes", LostRoute, look):
        await this.settle(_described(lost), partial(_point, this, lost))


def _described(lost: LostRoute) -> Finding:
    leads = f"{lost.fqdn} leads to {lost.deployment_id}, which serves nothing"
    if lost.live_id:
        return Finding(Kind.ROUTE_TO_NOTHING, lost.route_id, f"{leads}: it is pointed to {lost.live_id}, which is live")
    message = f"{leads}: deploy to it again, or remove the route"
    return Finding(Kind.ROUTE_TO_NOTHING, lost.route_id, message, curable=False)


async def _point(this: Round, lost: LostRoute) -> None:
    """Point the route, unless it or the live pointer has moved meanwhile."""

    async def work(conn: AsyncConnection) -> bool:
        app = await apps.find_locked(conn, lost.app_id)
        route = (await routes.by_id(conn, [lost.route_id])).get(lost.route_id)
        if app is None or route is None:
            return False
        if (app.current_deployment_id, route.deployment_id) != (lost.live_id, lost.deployment_id):
            return False
        await routes.point(conn, {lost.route_id: lost.live_id}, now_ms())
        return True

    pointed = await this.step("point route", bool, lambda: this.runtime.database.transact(work))
    log.warning("pointed a route that led to nothing", route=lost.fqdn, to=lost.live_id, done=pointed)
