"""The record of traffic switches: what makes them repeatable and reversible (06 · decision 2)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database.apps import App
from service.database.tables import hydra_route_moves as moves
from service.database.tables import hydra_traffic_switches as switches


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


async def mark_reverted(conn: AsyncConnection, operation_id: str, now_ms: int) -> None:
    await conn.execute(update(switches).where(switches.c.operation_id == operation_id).values(reverted_at=now_ms))
