"""Undoing one operation's switch, by compare-and-set, route by route, in one transaction (06 · decision 2)."""

from dataclasses import dataclass

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database import apps, routes, switches
from service.database.apps import App
from service.database.switches import Switch
from service.database.tables import environments
from service.domain.deployment import PREVIEW
from service.routing.switch import Order, find_switch
from service.routing.waking import serves_again

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Reverted:
    """What went back; empty where the switch never came to pass, was reverted before, or there is no way back.

    `stays`: something stays with the deployment that got it, for what had it before cannot serve it any more.
    """

    restored_route_ids: list[str]
    live_pointer_restored: bool
    stays: bool = False


async def revert(conn: AsyncConnection, order: Order, now_ms: int) -> Reverted:
    """Send back what the operation moved and nobody has moved since, and make sure that it can no longer switch.

    What gets traffic back runs, or is set running here. Where the deployment that was live cannot run any more, all
    stays where it is; where nothing was live, each name stays whose owner cannot. Raises NotFound for an unknown app,
    FailedPrecondition where the operation's switch is not this order's, and Uncounted.
    """
    app = await apps.lock(conn, order.app_id)
    switch = await find_switch(conn, order)
    if switch is None:
        never = Switch(order.operation_id, order.kind.value, "", order.deployment_id, app, app, {}, is_reverted=True)
        await switches.record(conn, never, [], now_ms)
    if switch is None or switch.is_reverted:
        return Reverted([], live_pointer_restored=False)
    previous_id = switch.before.current_deployment_id
    pointer_back = await _is_untouched(conn, app, switch)
    goes_to = previous_id if pointer_back and previous_id != order.deployment_id else None
    if goes_to is not None and not await serves_again(conn, goes_to, now_ms):
        log.warning("traffic is not reverted: what was live cannot run", app=app.app_id, deployment=goes_to)
        return Reverted([], live_pointer_restored=False, stays=True)
    back = await _routes_back(conn, order.operation_id)
    serving = {owner for owner in sorted(set(back.values())) if await serves_again(conn, owner, now_ms)}
    kept = {route_id for route_id, owner in back.items() if owner not in serving}
    if pointer_back or await _is_of_previews(conn, switch):
        kept = set()  # what is live decides; and nobody counts on what a preview's name led to before
    back = {route_id: owner for route_id, owner in back.items() if route_id not in kept}
    await routes.point(conn, back, now_ms)
    if pointer_back:
        await apps.set_live(conn, switch.before, now_ms)
    if not kept:
        await switches.mark_reverted(conn, order.operation_id, now_ms)
    return Reverted(sorted(back), pointer_back, stays=bool(kept))


async def _is_of_previews(conn: AsyncConnection, switch: Switch) -> bool:
    """Tell whether a switch was one of previews."""
    slug = select(environments.c.slug).where(environments.c.id == switch.environment_id)
    return await conn.scalar(slug) == PREVIEW


async def _routes_back(conn: AsyncConnection, operation_id: str) -> dict[str, str]:
    """Return what the operation moved and nobody has moved since, as route id → where it led before."""
    moved = await switches.moved_by(conn, operation_id)
    route_ids = [move.route_id for move in moved]
    current = await routes.by_id(conn, route_ids)
    last_moved_by = await switches.last_moved_by(conn, route_ids)
    return {
        move.route_id: move.previous_deployment_id
        for move in moved
        if move.route_id in current
        and current[move.route_id].deployment_id == move.deployment_id
        and last_moved_by[move.route_id] == operation_id
    }


async def _is_untouched(conn: AsyncConnection, app: App, switch: Switch) -> bool:
    """Tell whether what is live is so by this switch; another may have made it live again since."""
    if switch.before == switch.after or app != switch.after:
        return False
    return await switches.moved_pointer_last(conn, app.app_id) == switch.operation_id
