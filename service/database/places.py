"""Where a deployment may go, found by what people call it: workspace, project, app, environment."""

from dataclasses import dataclass

from sqlalchemy import Column, ColumnElement, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database.tables import apps, environments, projects, workspaces
from service.errors import InvalidArgument, NotFound


@dataclass(frozen=True)
class Wanted:
    """What somebody asks for, each by slug or id; an empty workspace or project may be any."""

    app: str
    environment: str
    project: str = ""
    workspace: str = ""


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
    rows = await conn.execute(select(environments.c.id, environments.c.slug).where(environments.c.app_id == app_id))
    known = {row.id: row.slug for row in rows}
    for id_, slug in known.items():
        if wanted.environment in (id_, slug):
            return Place(app_id, id_, slug, path)
    slugs = ", ".join(sorted(known.values())) or "none"
    raise NotFound(
        f"the app {path} has no environment {wanted.environment!r}; it has {slugs}", reason="ENVIRONMENT_NOT_FOUND"
    )


async def _apps(conn: AsyncConnection, wanted: Wanted) -> dict[str, str]:
    """Find apps by id or else by slug: id → path."""
    query = (
        select(
            apps.c.id,
            apps.c.slug,
            projects.c.id.label("project_id"),
            projects.c.slug.label("project"),
            workspaces.c.id.label("workspace_id"),
            workspaces.c.slug.label("workspace"),
        )
        .join(projects, projects.c.id == apps.c.project_id)
        .join(workspaces, workspaces.c.id == apps.c.workspace_id)
        .where(_called(apps.c.id, apps.c.slug, wanted.app))
    )
    if wanted.project:
        query = query.where(_called(projects.c.id, projects.c.slug, wanted.project))
    if wanted.workspace:
        query = query.where(_called(workspaces.c.id, workspaces.c.slug, wanted.workspace))
    rows = (await conn.execute(query)).all()
    by_id = [row for row in rows if row.id == wanted.app]
    return {row.id: f"{row.workspace}/{row.project}/{row.slug}" for row in by_id or rows}


def _called(id_: Column[str], slug: Column[str], name: str) -> ColumnElement[bool]:
    return or_(id_ == name, slug == name)


def _said(wanted: Wanted) -> str:
    said = repr(wanted.app)
    if wanted.project:
        said += f" in project {wanted.project!r}"
    if wanted.workspace:
        said += f" of workspace {wanted.workspace!r}"
    return said
