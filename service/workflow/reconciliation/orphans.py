"""Routes and sentinels that lead to nothing, and deployments that nobody works on."""

from collections.abc import Mapping
from datetime import timedelta
from functools import partial

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from service.clock import now_ms
from service.database import apps, routes, sentinels, stuck, versions
from service.database.stuck import LostRoute, LostSentinel
from service.domain.reconciliation import Finding, Kind
from service.workflow.counters import counted
from service.workflow.reconciliation.round import MOST, Round
from service.workflow.underway import deploys_under_way

log = structlog.get_logger(__name__)

# The control API makes the row first and asks for the deploy then; who approves it may take a while.
_FORGOTTEN_AFTER = timedelta(hours=1)


async def tell_of_forgotten_deployments(this: Round) -> None:
    """List the deployments that are under way by their rows alone."""

    async def look() -> list[Finding]:
        before_ms = now_ms() - int(_FORGOTTEN_AFTER.total_seconds() * 1000)
        found = await this.runtime.database.read(lambda conn: stuck.forgotten(conn, before_ms, MOST))
        under_way = await deploys_under_way(this.runtime.restate) if found else {}
        message = "under way for its row alone: deploy it again, or cancel it"
        return [
            Finding(Kind.DEPLOYMENT_FORGOTTEN, each, message, curable=False) for each in found if each not in under_way
        ]

    this.findings.extend(await this.look("look for forgotten deployments", list[Finding], look))


async def archive_lost_sentinels(this: Round) -> None:
    """Stop the sentinels of environments that do not exist."""

    async def look() -> list[LostSentinel]:
        return await this.runtime.database.read(lambda conn: stuck.lost_sentinels(conn, this.quiet_since(), MOST))

    for lost in await this.look("look for lost sentinels", list[LostSentinel], look):
        message = f"runs for the environment {lost.environment_id}, which does not exist: it is archived"
        if this.found(Finding(Kind.SENTINEL_ORPHANED, lost.sentinel_id, message)):
            await _archive(this, lost)


async def _archive(this: Round, lost: LostSentinel) -> None:
    async def work(conn: AsyncConnection, floors: Mapping[str, int]) -> list[str]:
        await versions.start_counters(conn, floors)
        if uncounted := await versions.uncounted(conn, [lost.region_id]):
            return uncounted
        await sentinels.archive(conn, lost.sentinel_id, lost.region_id, now_ms())
        log.warning("archived a sentinel of no environment", sentinel=lost.sentinel_id)
        return []

    async def attempt(floors: Mapping[str, int]) -> list[str]:
        return await this.runtime.database.transact(lambda conn: work(conn, floors))

    await counted(this.journal, "archive sentinel", attempt)


async def point_lost_routes(this: Round) -> None:
    """Point routes that lead to nothing to the live deployment, where it is that which they follow; list the rest."""

    async def look() -> list[LostRoute]:
        return await this.runtime.database.read(lambda conn: stuck.lost_routes(conn, this.quiet_since(), MOST))

    for lost in await this.look("look for lost routes", list[LostRoute], look):
        if this.found(_described(lost)):
            await this.journal.step("point route", bool, partial(_point, this, lost))


def _described(lost: LostRoute) -> Finding:
    leads = f"{lost.fqdn} leads to {lost.deployment_id}, which serves nothing"
    if lost.live_id:
        return Finding(Kind.ROUTE_TO_NOTHING, lost.route_id, f"{leads}: it is pointed to {lost.live_id}, which is live")
    message = f"{leads}: deploy to it again, or remove the route"
    return Finding(Kind.ROUTE_TO_NOTHING, lost.route_id, message, curable=False)


async def _point(this: Round, lost: LostRoute) -> bool:
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

    pointed = await this.runtime.database.transact(work)
    log.warning("pointed a route that led to nothing", route=lost.fqdn, to=lost.live_id, done=pointed)
    return pointed
