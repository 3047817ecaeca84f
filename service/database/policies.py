"""Cilium network policies of a deployment (02 · 1.4, 03 · 5)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database.deployments import Subject
from service.database.tables import cilium_network_policies as policies
from service.domain.network_policy import Policy


@dataclass(frozen=True)
class Stored:
    """A policy as it stands; `document` is JSON, as text or already read."""

    policy_id: str
    document: Any


@dataclass(frozen=True)
class Placement:
    region_id: str
    version: int


async def existing(conn: AsyncConnection, deployment_id: str) -> dict[tuple[str, str], Stored]:
    """Read a deployment's policies by region id and policy name."""
    rows = await conn.execute(
        select(policies.c.region_id, policies.c.k8s_name, policies.c.id, policies.c.policy).where(
            policies.c.deployment_id == deployment_id
        )
    )
    return {(row.region_id, row.k8s_name): Stored(row.id, row.policy) for row in rows}


def row(subject: Subject, policy: Policy, placed: Placement, now_ms: int) -> dict[str, Any]:
    """Write the row of a new policy."""
    return {
        "id": policy.policy_id,
        "workspace_id": subject.workspace_id,
        "project_id": subject.project_id,
        "app_id": subject.app_id,
        "environment_id": subject.environment_id,
        "deployment_id": subject.deployment_id,
        "k8s_name": policy.name,
        "k8s_namespace": policy.namespace,
        "region_id": placed.region_id,
        "policy": policy.document,
        "version": placed.version,
        "created_at": now_ms,
    }


async def insert(conn: AsyncConnection, rows: Iterable[dict[str, Any]]) -> None:
    """Insert policies in one statement."""
    if values := list(rows):
        await conn.execute(policies.insert(), values)


async def replace(conn: AsyncConnection, policy: Policy, version: int, now_ms: int) -> None:
    """Store a policy's new document under a new version."""
    await conn.execute(
        update(policies)
        .where(policies.c.id == policy.policy_id)
        .values(policy=policy.document, version=version, updated_at=now_ms)
    )
