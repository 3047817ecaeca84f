"""Apps: the live pointer and its lock, which every operation that moves traffic takes first."""

from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database.tables import apps
from service.errors import NotFound


@dataclass(frozen=True)
class App:
    """An app's traffic state: what is live, and whether an operator has rolled back to it."""

    app_id: str
    current_deployment_id: str | None
    is_rolled_back: bool


async def find(conn: AsyncConnection, app_id: str) -> App:
    """Read an app's traffic state. Raises NotFound."""
    return _required(await _read(conn, app_id, lock=False), app_id)


async def find_locked(conn: AsyncConnection, app_id: str) -> App | None:
    """Lock an app for the rest of the transaction and read its traffic state; None where there is none."""
    return await _read(conn, app_id, lock=True)


async def lock(conn: AsyncConnection, app_id: str) -> App:
    """Do as `find_locked`, but raise NotFound."""
    return _required(await find_locked(conn, app_id), app_id)


async def _read(conn: AsyncConnection, app_id: str, *, lock: bool) -> App | None:
    query = select(apps.c.id, apps.c.current_deployment_id, apps.c.is_rolled_back).where(apps.c.id == app_id)
    row = (await conn.execute(query.with_for_update() if lock else query)).one_or_none()
    if row is None or row.id != app_id:
        return None
    return App(row.id, row.current_deployment_id, bool(row.is_rolled_back))


def _required(app: App | None, app_id: str) -> App:
    if app is None:
        raise NotFound(f"the app {app_id!r} does not exist", reason="APP_NOT_FOUND")
    return app


async def set_live(conn: AsyncConnection, app: App, now_ms: int) -> None:
    """Store an app's traffic state; the caller holds its lock."""
    await conn.execute(
        update(apps)
        .where(apps.c.id == app.app_id)
        .values(current_deployment_id=app.current_deployment_id, is_rolled_back=app.is_rolled_back, updated_at=now_ms)
    )
