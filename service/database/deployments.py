"""Deployments: what a workflow reads of one, and what it changes."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database.tables import apps, deployments, environments, github_repo_connections, projects, workspaces
from service.domain.deployment import DesiredState, Status
from service.errors import NotFound


@dataclass(frozen=True)
class Subject:
    """What a workflow knows of the deployment it works on: ids and small facts, safe to journal."""

    deployment_id: str
    k8s_name: str
    workspace_id: str
    workspace_slug: str
    k8s_namespace: str | None
    project_id: str
    project_slug: str
    app_id: str
    app_slug: str
    environment_id: str
    environment_slug: str
    status: Status
    desired_state: DesiredState
    image: str | None
    git_commit_sha: str | None
    git_branch: str | None
    fork_repository_full_name: str | None
    cpu_millicores: int
    memory_mib: int
    port: int
    created_at: int
    # Where and as what it is shown on GitHub; 0 and empty for an app without a connected repository.
    installation_id: int = 0
    repository: str = ""
    pull_request: int = 0
    github_deployment_id: int = 0


async def lock(conn: AsyncConnection, deployment_id: str) -> bool:
    """Lock a deployment's row for the rest of the transaction; False where there is none.

    The id is compared to the letter here: the reference's collation takes upper for lower case (03 · D1).
    """
    row = await conn.scalar(select(deployments.c.id).where(deployments.c.id == deployment_id).with_for_update())
    return row == deployment_id


async def status(conn: AsyncConnection, deployment_id: str) -> Status | None:
    """Read a deployment's status, None where there is none."""
    value = await conn.scalar(select(deployments.c.status).where(deployments.c.id == deployment_id))
    return None if value is None else Status(value)


async def app_of(conn: AsyncConnection, deployment_id: str) -> str | None:
    """Read which app a deployment belongs to, None where there is no such deployment."""
    query = select(deployments.c.id, deployments.c.app_id).where(deployments.c.id == deployment_id)
    row = (await conn.execute(query)).one_or_none()
    return None if row is None or row.id != deployment_id else str(row.app_id)


@dataclass(frozen=True)
class Placed:
    """A deployment's environment and age."""

    deployment_id: str
    environment_id: str
    created_at: int


async def placed(conn: AsyncConnection, deployment_id: str | None) -> Placed | None:
    """Read where a deployment belongs and when it was created (Unix ms); None where there is none."""
    query = select(deployments.c.id, deployments.c.environment_id, deployments.c.created_at)
    row = (await conn.execute(query.where(deployments.c.id == deployment_id))).one_or_none()
    return None if row is None else Placed(*row)


async def subject(conn: AsyncConnection, deployment_id: str) -> Subject:
    """Read a deployment with the names of what it belongs to.

    Raises NotFound for a missing deployment, workspace, project, app or environment.
    """
    row = (await conn.execute(_SUBJECT.where(deployments.c.id == deployment_id))).mappings().one_or_none()
    if row is None or row["deployment_id"] != deployment_id:
        raise deployment_not_found(deployment_id)
    for what in ("workspace", "project", "app", "environment"):
        if row[f"found_{what}"] is None:
            raise NotFound(
                f"the {what} {row[f'{what}_id']!r} of deployment {deployment_id!r} does not exist",
                reason=f"{what.upper()}_NOT_FOUND",
            )
    facts: dict[str, Any] = {name: row[name] for name in Subject.__dataclass_fields__}
    return Subject(**{**facts, "status": Status(row["status"]), "desired_state": DesiredState(row["desired_state"])})


def deployment_not_found(deployment_id: str) -> NotFound:
    return NotFound(f"the deployment {deployment_id!r} does not exist", reason="DEPLOYMENT_NOT_FOUND")


_SUBJECT = select(
    deployments.c.id.label("deployment_id"),
    deployments.c.k8s_name,
    deployments.c.workspace_id,
    workspaces.c.id.label("found_workspace"),
    workspaces.c.slug.label("workspace_slug"),
    workspaces.c.k8s_namespace,
    deployments.c.project_id,
    projects.c.id.label("found_project"),
    projects.c.slug.label("project_slug"),
    deployments.c.app_id,
    apps.c.id.label("found_app"),
    apps.c.slug.label("app_slug"),
    deployments.c.environment_id,
    environments.c.id.label("found_environment"),
    environments.c.slug.label("environment_slug"),
    deployments.c.status,
    deployments.c.desired_state,
    deployments.c.image,
    deployments.c.git_commit_sha,
    deployments.c.git_branch,
    deployments.c.fork_repository_full_name,
    deployments.c.cpu_millicores,
    deployments.c.memory_mib,
    deployments.c.port,
    deployments.c.created_at,
    func.coalesce(github_repo_connections.c.installation_id, 0).label("installation_id"),
    func.coalesce(github_repo_connections.c.repository_full_name, "").label("repository"),
    func.coalesce(deployments.c.pr_number, 0).label("pull_request"),
    func.coalesce(deployments.c.github_deployment_id, 0).label("github_deployment_id"),
).select_from(
    deployments.outerjoin(workspaces, workspaces.c.id == deployments.c.workspace_id)
    .outerjoin(projects, projects.c.id == deployments.c.project_id)
    .outerjoin(apps, apps.c.id == deployments.c.app_id)
    .outerjoin(environments, environments.c.id == deployments.c.environment_id)
    .outerjoin(github_repo_connections, github_repo_connections.c.app_id == deployments.c.app_id)
)


async def change(conn: AsyncConnection, deployment_id: str, now_ms: int, **columns: Any) -> None:
    """Change columns of a deployment."""
    await conn.execute(
        update(deployments).where(deployments.c.id == deployment_id).values(updated_at=now_ms, **columns)
    )


async def set_desired_state(conn: AsyncConnection, deployment_id: str, state: DesiredState, now_ms: int) -> None:
    await change(conn, deployment_id, now_ms, desired_state=state.value)
