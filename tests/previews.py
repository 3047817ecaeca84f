"""Many preview deployments at once, as rows: what hundreds of deploys would have left, without their work."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.analytics.dsn import parse as parse_clickhouse
from service.analytics.requests import Routed
from service.clock import now_ms
from service.database import tables, versions
from service.database.engine import Database
from service.dev.visits import log_visit
from service.dev.world import World

HOUR_MS = 3_600_000
LONG_AGO_MS = 7 * HOUR_MS  # longer than the idle time
_PER_INSERT = 500

Row = dict[str, Any]

_ELSEWHERE = Routed("ws_elsewhere", "proj_elsewhere", "env_elsewhere", "d_elsewhere")


@dataclass(frozen=True)
class Previews:
    """What was inserted; the deployments are in the order of their environments, so many in each."""

    environment_ids: list[str]
    deployment_ids: list[str]


async def keep_log_alive(clickhouse_url: str, ago_ms: int = 0) -> None:
    """Log a request to somebody else's deployment, so long ago: no sweep believes a log that nobody writes to."""
    await log_visit(parse_clickhouse(clickhouse_url), _ELSEWHERE, now_ms() - ago_ms)


async def insert_previews(database: Database, world: World, environments: int, each: int) -> Previews:
    """Insert apps with a preview environment and, in it, ready deployments of long ago that run in one region.

    The region is the first of the world's; give the world one without an agent, or it starts them all.
    """
    at_ms = now_ms() - LONG_AGO_MS
    unique = uuid.uuid4().hex[:8]
    region_id = next(iter(world.regions.values())).id
    owner = {"workspace_id": world.workspace_id, "project_id": world.project_id, "created_at": at_ms}
    rows: dict[Table, list[Row]] = {
        tables.apps: [],
        tables.environments: [],
        tables.deployments: [],
        tables.deployment_topology: [],
    }
    for number in range(environments):
        name = f"{unique}{number:05}"
        app = {**owner, "app_id": f"app_{name}"}
        rows[tables.apps].append({**owner, "id": f"app_{name}", "name": name, "slug": name})
        rows[tables.environments].append({**app, "id": f"env_{name}", "slug": "preview"})
        rows[tables.deployments] += [
            _deployment({**app, "environment_id": f"env_{name}"}, f"{name}{index:03}") for index in range(each)
        ]
    ids = [str(row["id"]) for row in rows[tables.deployments]]

    async def work(conn: AsyncConnection) -> None:
        taken = await _take(conn, region_id, len(ids))
        rows[tables.deployment_topology] = [
            {
                "workspace_id": world.workspace_id,
                "deployment_id": deployment_id,
                "region_id": region_id,
                "desired_replicas": 1,
                "version": version,
                "desired_status": "running",
                "created_at": at_ms,
            }
            for version, deployment_id in zip(taken, ids, strict=True)
        ]
        for table, of_it in rows.items():
            for some in _batches(of_it):
                await conn.execute(insert(table), some)

    await database.transact(work)
    return Previews([str(row["id"]) for row in rows[tables.environments]], ids)


async def _take(conn: AsyncConnection, region_id: str, count: int) -> range:
    """Take so many version numbers of the region; one that is not counted yet stays so."""
    topology = tables.deployment_topology
    try:
        stamps = await versions.lock(conn, [region_id])
    except versions.Uncounted:
        highest = await conn.scalar(select(func.max(topology.c.version)).where(topology.c.region_id == region_id))
        return range(1 + (highest or 0), 1 + (highest or 0) + count)
    taken = [stamps.take(region_id) for _ in range(count)]
    await stamps.save(conn)
    return range(taken[0], taken[-1] + 1) if taken else range(0)


def _deployment(owner: Row, name: str) -> Row:
    return {
        **owner,
        "id": f"d_{name}",
        "k8s_name": f"k{name}",
        "image": "registry.example.com/acme/shop:1.0",
        "status": "ready",
        "desired_state": "running",
        "sentinel_config": b"",
        "encrypted_environment_variables": b"",
        "cpu_millicores": 256,
        "memory_mib": 256,
    }


def _batches(rows: list[Row]) -> Iterable[list[Row]]:
    return (rows[first : first + _PER_INSERT] for first in range(0, len(rows), _PER_INSERT))
