"""Undoing one operation's switch, by compare-and-set, route by route, in one transaction (06 · decision 2)."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from service.database import apps, routes, switches
from service.database.apps import App
from service.database.switches import Switch
from service.routing.switch import Order, find_switch


@dataclass(frozen=True)
class Reverted:
    """What went back; empty where the switch never came to pass or was reverted before."""

    restored_route_ids: list[str]
    live_pointer_restored: bool


async def revert(conn: AsyncConnection, order: Order, now_ms: int) -> Reverted:
    """Send back what the operation moved and nobody has moved since, and make sure that it can no longer switch.

    Raises NotFound for an unknown app, FailedPrecondition where the operation's switch is not this order's.
    """
    app = await apps.lock(conn, order.app_id)
    switch = await find_switch(conn, order)
    if switch is None:
        never = Switch(order.operation_id, order.kind.value, "", order.deployment_id, app, app, {}, is_reverted=True)
        await switches.record(conn, never, [], now_ms)
    if switch is None or switch.is_reverted:
        return Reverted([], live_pointer_restored=False)
    back = await _routes_back(conn, order.operation_id)
    await routes.point(conn, back, now_ms)
    pointer_back = _is_untouched(app, switch)
    if pointer_back:
        await apps.set_live(conn, switch.before, now_ms)
    await switches.mark_reverted(conn, order.operation_id, now_ms)
    return Reverted(sorted(back), pointer_back)


async def _routes_back(conn: AsyncConnection, operation_id: str) -> dict[str, str]:
    moved = await switches.moved_by(conn, operation_id)
    current = await routes.by_id(conn, [move.route_id for move in moved])
    return {
        move.route_id: move.previous_deployment_id
        for move in moved
        if move.route_id in current and current[move.route_id].deployment_id == move.deployment_id
    }


def _is_untouched(app: App, switch: Switch) -> bool:
    return switch.before != switch.after and app == switch.after
