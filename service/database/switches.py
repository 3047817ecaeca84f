"""The record of traffic switches: what makes them repeatable and reversible (06 · decision 2)."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database.apps import App
from service.database.tables import hydra_route_moves as moves
from service.database.tables import hydra_traffic_switches as switches

# What a rollback held back runs on for so many times as long as what was replaced.
HELD_BACK_TIMES = 2


@dataclass(frozen=True)
class Switch:
    """One operation's switch of traffic; `before` and `after` are the app's state around it."""

    operation_id: str
    kind: str
    environment_id: str
    deployment_id: str
    before: App
    after: App
    result: Mapping[str, Any]
    is_reverted: bool = False


@dataclass(frozen=True)
class Move:
    """One route's move from one deployment to another."""

    route_id: str
    fqdn: str
    previous_deployment_id: str
    deployment_id: str


async def find(conn: AsyncConnection, operation_id: str) -> Switch | None:
    """Read an operation's switch; the caller holds the app's lock."""
    row = (await conn.execute(select(switches).where(switches.c.operation_id == operation_id))).one_or_none()
    if row is None:
        return None
    return Switch(
        operation_id=row.operation_id,
        kind=row.kind,
        environment_id=row.environment_id,
        deployment_id=row.deployment_id,
        before=App(row.app_id, row.previous_deployment_id, bool(row.previous_is_rolled_back)),
        after=App(row.app_id, row.live_deployment_id, bool(row.is_rolled_back)),
        result=row.result,
        is_reverted=row.reverted_at is not None,
    )


async def record(conn: AsyncConnection, switch: Switch, moved: list[Move], now_ms: int) -> None:
    """Store a switch and its moves; one that is stored as reverted never happened and never will."""
    await conn.execute(
        switches.insert().values(
            operation_id=switch.operation_id,
            app_id=switch.before.app_id,
            environment_id=switch.environment_id,
            deployment_id=switch.deployment_id,
            kind=switch.kind,
            previous_deployment_id=switch.before.current_deployment_id,
            previous_is_rolled_back=switch.before.is_rolled_back,
            live_deployment_id=switch.after.current_deployment_id,
            is_rolled_back=switch.after.is_rolled_back,
            result=dict(switch.result),
            switched_at=None if switch.is_reverted else now_ms,
            reverted_at=now_ms if switch.is_reverted else None,
        )
    )
    if moved:
        await conn.execute(
            moves.insert(),
            [
                {
                    "operation_id": switch.operation_id,
                    "route_id": move.route_id,
                    "fully_qualified_domain_name": move.fqdn,
                    "previous_deployment_id": move.previous_deployment_id,
                    "deployment_id": move.deployment_id,
                }
                for move in moved
            ],
        )


async def moved_by(conn: AsyncConnection, operation_id: str) -> list[Move]:
    """Read an operation's moves in route id order."""
    rows = await conn.execute(select(moves).where(moves.c.operation_id == operation_id).order_by(moves.c.route_id))
    return [
        Move(row.route_id, row.fully_qualified_domain_name, row.previous_deployment_id, row.deployment_id)
        for row in rows
    ]


async def last_moved_by(conn: AsyncConnection, route_ids: Collection[str]) -> dict[str, str]:
    """Return which operation moved each of these routes last, reverted ones aside."""
    query = (
        select(moves.c.route_id, moves.c.operation_id)
        .join(switches, switches.c.operation_id == moves.c.operation_id)
        .where(moves.c.route_id.in_(sorted(route_ids)), switches.c.reverted_at.is_(None))
        .order_by(switches.c.switched_at)
    )
    return {row.route_id: row.operation_id for row in await conn.execute(query)}


async def mark_reverted(conn: AsyncConnection, operation_id: str, now_ms: int) -> None:
    await conn.execute(update(switches).where(switches.c.operation_id == operation_id).values(reverted_at=now_ms))


async def rolled_back_from(conn: AsyncConnection, app: App) -> list[str]:
    """List the deployments that the app's open rollbacks came from, newest first; empty where none is open.

    A rollback is open until the app is no longer rolled back. The caller holds the app's lock.
    """
    if not app.is_rolled_back:
        return []
    sources: list[str] = []
    for row in await conn.execute(_latest_first(app.app_id)):
        if not row.is_rolled_back:
            break
        if row.kind == "rollback" and row.previous_deployment_id not in sources:
            sources.append(row.previous_deployment_id)
    return sources


async def unplaced(conn: AsyncConnection, app: App, environment_id: str) -> list[str]:
    """List what was deployed to the live deployment's environment during the app's open rollbacks, newest first.

    None of these has a place: the rollback holds it. The caller holds the app's lock.
    """
    if not app.is_rolled_back:
        return []
    found: list[str] = []
    for row in await conn.execute(_latest_first(app.app_id)):
        if not row.is_rolled_back:
            break
        is_deploy = row.kind == "deploy" and row.environment_id == environment_id
        if is_deploy and row.live_deployment_id != row.deployment_id and row.deployment_id not in found:
            found.append(row.deployment_id)
    return [deployment_id for deployment_id in found if deployment_id != app.current_deployment_id]


async def has_place(conn: AsyncConnection, app: App, deployment_id: str) -> bool:
    """Tell whether a deployment is to go on running: it is live, or an open rollback came from it."""
    return deployment_id in (app.current_deployment_id, *await rolled_back_from(conn, app))


async def rests_at(conn: AsyncConnection, app: App, deployment_id: str, delay_ms: int) -> int | None:
    """Say when a deployment is due to rest that has lost its place (Unix ms), None where it never has.

    `delay_ms` is how long what is replaced runs on. What a rollback held back has twice as long.
    """
    query = select(
        switches.c.switched_at, switches.c.previous_deployment_id, switches.c.live_deployment_id, switches.c.result
    ).where(switches.c.app_id == app.app_id, switches.c.reverted_at.is_(None))
    for row in await conn.execute(query.order_by(switches.c.switched_at.desc())):
        if deployment_id in _replaced(row):
            return int(row.switched_at) + delay_ms
        if deployment_id in row.result.get("held_back_deployment_ids", ()):
            return int(row.switched_at) + HELD_BACK_TIMES * delay_ms
    return None


@dataclass(frozen=True)
class Lately:
    """The recent past: what was replaced since `now_ms` - `delay_ms` runs on for a while."""

    now_ms: int
    delay_ms: int


async def on_their_way_out(conn: AsyncConnection, app: App, environment_id: str, lately: Lately) -> set[str]:
    """List deployments of an environment that run on, but not for long: something else has their place.

    They lost it lately, an open rollback came from them, or a rollback holds or held them back.
    """
    query = select(
        switches.c.switched_at, switches.c.previous_deployment_id, switches.c.live_deployment_id, switches.c.result
    ).where(
        switches.c.app_id == app.app_id,
        switches.c.environment_id == environment_id,
        switches.c.reverted_at.is_(None),
        switches.c.switched_at >= lately.now_ms - HELD_BACK_TIMES * lately.delay_ms,
    )
    found = {*await rolled_back_from(conn, app), *await unplaced(conn, app, environment_id)}
    for row in await conn.execute(query):
        found.update(row.result.get("held_back_deployment_ids", ()))
        if row.switched_at >= lately.now_ms - lately.delay_ms:
            found |= _replaced(row)
    return found


def _replaced(switch: Any) -> set[str]:
    """Return the deployments that lost their place by a switch."""
    replaced = set(switch.result.get("superseded_deployment_ids", ()))
    if switch.previous_deployment_id and switch.previous_deployment_id != switch.live_deployment_id:
        replaced.add(switch.previous_deployment_id)
    return replaced


async def moved_pointer_last(conn: AsyncConnection, app_id: str) -> str | None:
    """Return the operation that last changed what is live, or whether that is a rollback; None for nobody."""
    query = select(switches.c.operation_id).where(
        switches.c.app_id == app_id,
        switches.c.reverted_at.is_(None),
        or_(
            func.coalesce(switches.c.previous_deployment_id, "") != func.coalesce(switches.c.live_deployment_id, ""),
            func.coalesce(switches.c.previous_is_rolled_back, False) != switches.c.is_rolled_back,
        ),
    )
    found: str | None = await conn.scalar(query.order_by(switches.c.switched_at.desc()).limit(1))
    return found


async def last_switched_at(conn: AsyncConnection, app_id: str) -> int:
    """Read when the app's traffic was switched last (Unix ms), 0 for never."""
    return int(await conn.scalar(select(func.max(switches.c.switched_at)).where(switches.c.app_id == app_id)) or 0)


def _latest_first(app_id: str) -> Select[Any]:
    return (
        select(
            switches.c.kind,
            switches.c.environment_id,
            switches.c.deployment_id,
            switches.c.previous_deployment_id,
            switches.c.live_deployment_id,
            switches.c.is_rolled_back,
        )
        .where(switches.c.app_id == app_id, switches.c.reverted_at.is_(None))
        .order_by(switches.c.switched_at.desc())
    )
