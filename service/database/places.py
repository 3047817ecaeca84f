"""Where a deployment may go, found by what people call it: workspace, project, app, environment."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, Row, Select, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database.tables import apps, environments, projects, workspaces
from service.errors import InvalidArgument, NotFound


@dataclass(frozen=True, kw_only=True)
class WantedApp:
    """An app that somebody asks for, each part by slug or id; an empty workspace or project may be any."""

    app: str
    project: str = ""
    workspace: str = ""


@dataclass(frozen=True, kw_only=True)
class Wanted(WantedApp):
    """An app's environment that somebody asks for, in the same way."""

    environment: str


@dataclass(frozen=True)
class Place:
    """An app's environment; `path` is `workspace/project/app` in slugs."""

    app_id: str
    environment_id: str
    environment: str
    path: str


async def find(conn: AsyncConnection, wanted: Wanted) -> Place:
    """Find the one environment that is meant.

    Raises NotFound, or InvalidArgument where several apps are called so.
    """
    app_id, path = await find_app(conn, wanted)
    rows = await conn.execute(select(environments.c.id, environments.c.slug).where(environments.c.app_id == app_id))
    known = {row.id: row.slug for row in rows}
    for id_, slug in known.items():
        if wanted.environment in (id_, slug):
            return Place(app_id, id_, slug, path)
    slugs = ", ".join(sorted(known.values())) or "none"
    raise NotFound(
        f"the app {path} has no environment {wanted.environment!r}; it has {slugs}", reason="ENVIRONMENT_NOT_FOUND"
    )


async def find_app(conn: AsyncConnection, wanted: WantedApp) -> tuple[str, str]:
    """Find the one app that is meant: its id and its path. Raises as `find`."""
    found = await _apps(conn, wanted)
    if not found:
        raise NotFound(f"there is no app {_said(wanted)}", reason="APP_NOT_FOUND")
    if len(found) > 1:
        paths = ", ".join(sorted(found.values()))
        raise InvalidArgument(
            f"{len(found)} apps are called {wanted.app!r}: {paths}; say which by its project and workspace, or its id",
            field="app",
            reason="APP_AMBIGUOUS",
        )
    ((app_id, path),) = found.items()
    return app_id, path


async def paths(conn: AsyncConnection, app_ids: Collection[str]) -> dict[str, str]:
    """Read the paths of apps by id; an app that is gone, or what it belongs to, is left out."""
    rows = await conn.execute(_APPS.where(apps.c.id.in_(sorted(app_ids))))
    return {row.id: _path(row) for row in rows}


async def _apps(conn: AsyncConnection, wanted: WantedApp) -> dict[str, str]:
    """Find apps by id or else by slug: id → path."""
    query = _APPS.where(_called(apps.c.id, apps.c.slug, wanted.app))
    if wanted.project:
        query = query.where(_called(projects.c.id, projects.c.slug, wanted.project))
    if wanted.workspace:
        query = query.where(_called(workspaces.c.id, workspaces.c.slug, wanted.workspace))
    rows = (await conn.execute(query)).all()
    by_id = [row for row in rows if row.id == wanted.app]
    return {row.id: _path(row) for row in by_id or rows}


_APPS: Select[Any] = (
    select(
        apps.c.id,
        apps.c.slug,
        projects.c.slug.label("project"),
        workspaces.c.slug.label("workspace"),
    )
    .join(projects, projects.c.id == apps.c.project_id)
    .join(workspaces, workspaces.c.id == apps.c.workspace_id)
)


def _path(row: Row[Any]) -> str:
    return f"{row.workspace}/{row.project}/{row.slug}"


def _called(id_: Column[str], slug: Column[str], name: str) -> ColumnElement[bool]:
    return or_(id_ == name, slug == name)


def _said(wanted: WantedApp) -> str:
    said = repr(wanted.app)
    if wanted.project:
        said += f" in project {wanted.project!r}"
    if wanted.workspace:
        said += f" of workspace {wanted.workspace!r}"
    return said
