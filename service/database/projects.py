"""Projects: only the builder's id for one is ours to write."""

from sqlalchemy import or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database.tables import projects


async def builder_project(conn: AsyncConnection, project_id: str) -> str:
    """Read the id that the builder has for a project; empty where there is none yet."""
    found = await conn.scalar(select(projects.c.depot_project_id).where(projects.c.id == project_id))
    return found or ""


async def give_builder_project(conn: AsyncConnection, project_id: str, made: str, now_ms: int) -> str:
    """Keep what the builder calls a project, unless another deploy was first, and return what holds."""
    unset = or_(projects.c.depot_project_id.is_(None), projects.c.depot_project_id == "")
    await conn.execute(
        update(projects).where(projects.c.id == project_id, unset).values(depot_project_id=made, updated_at=now_ms)
    )
    return await builder_project(conn, project_id)


async def forget_builder_project(conn: AsyncConnection, gone: str) -> None:
    """Forget an id that the builder no longer knows."""
    await conn.execute(update(projects).where(projects.c.depot_project_id == gone).values(depot_project_id=None))
