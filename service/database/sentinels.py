"""Sentinels: the per-environment, per-region proxies in front of deployments (02 · 1.3)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database import versions
from service.database.deployments import Subject
from service.database.tables import sentinels
from service.database.upsert import insert_ignore
from service.domain.deployment import DesiredState
from service.domain.topology import sentinel, sentinel_address


@dataclass(frozen=True)
class Placement:
    """A new sentinel: its region, names, image and version."""

    region_id: str
    sentinel_id: str
    k8s_name: str
    image: str
    version: int


def row(subject: Subject, placed: Placement, now_ms: int) -> dict[str, Any]:
    """Write the row of a new sentinel for the subject's environment."""
    size = sentinel(subject.environment_slug)
    return {
        "id": placed.sentinel_id,
        "workspace_id": subject.workspace_id,
        "project_id": subject.project_id,
        "environment_id": subject.environment_id,
        "k8s_name": placed.k8s_name,
        "k8s_address": sentinel_address(placed.k8s_name),
        "region_id": placed.region_id,
        "image": placed.image,
        "health": "unknown",
        "desired_replicas": size.desired_replicas,
        "available_replicas": 0,
        "cpu_millicores": size.cpu_millicores,
        "memory_mib": size.memory_mib,
        "version": placed.version,
        "created_at": now_ms,
    }


async def regions_with(conn: AsyncConnection, environment_id: str) -> set[str]:
    """Return the regions where the environment has a sentinel, whatever its state."""
    return set(await conn.scalars(select(sentinels.c.region_id).where(sentinels.c.environment_id == environment_id)))


async def insert(conn: AsyncConnection, rows: Iterable[dict[str, Any]]) -> None:
    """Insert sentinels; one that another worker put there first is left alone."""
    if values := list(rows):
        await insert_ignore(conn, sentinels, values)


async def archive(conn: AsyncConnection, sentinel_id: str, region_id: str, now_ms: int) -> None:
    """Let a sentinel end, under a new version; raises Uncounted where its region has no counter."""
    stamps = await versions.lock(conn, [region_id])
    archived = {"desired_state": DesiredState.ARCHIVED.value, "desired_replicas": 0, "updated_at": now_ms}
    await conn.execute(
        update(sentinels).where(sentinels.c.id == sentinel_id).values(version=stamps.take(region_id), **archived)
    )
    await stamps.save(conn)
