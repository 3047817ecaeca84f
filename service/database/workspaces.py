"""Workspaces: only their Kubernetes namespace is ours to write."""

from collections.abc import Iterable

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database.tables import workspaces


async def give_namespace(conn: AsyncConnection, workspace_id: str, candidates: Iterable[str]) -> None:
    """Give a workspace the first free candidate, unless it has a namespace: the first deploy decides for all."""
    await conn.execute(select(workspaces.c.pk).where(workspaces.c.id == workspace_id).with_for_update())
    wanted = list(candidates)
    taken = set(await conn.scalars(select(workspaces.c.k8s_namespace).where(workspaces.c.k8s_namespace.in_(wanted))))
    free = next(label for label in wanted if label not in taken)
    await conn.execute(
        update(workspaces)
        .where(workspaces.c.id == workspace_id, workspaces.c.k8s_namespace.is_(None))
        .values(k8s_namespace=free)
    )
