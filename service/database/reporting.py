"""What is reported of a deployment, and GitHub's id for it."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database import deployments
from service.database.tables import deployments as deployments_table
from service.database.tables import frontline_routes, github_repo_connections
from service.domain.hostname import Sticky


@dataclass(frozen=True)
class Reported:
    """A deployment's project, age (Unix ms), GitHub's id for it (0 for none), and the host names that lead to it."""

    project_id: str
    created_at_ms: int
    github_deployment_id: int
    fqdns: dict[Sticky, str]


async def reported(conn: AsyncConnection, deployment_id: str) -> Reported | None:
    """Read what is reported of a deployment; None where there is none."""
    known = deployments_table.c
    query = select(known.project_id, known.created_at, known.github_deployment_id)
    row = (await conn.execute(query.where(known.id == deployment_id))).one_or_none()
    if row is None:
        return None
    routes = select(frontline_routes.c.sticky, frontline_routes.c.fully_qualified_domain_name)
    found = await conn.execute(
        routes.where(frontline_routes.c.deployment_id == deployment_id).order_by(frontline_routes.c.pk.desc())
    )
    fqdns = {Sticky(sticky): fqdn for sticky, fqdn in found}  # of several the oldest: a custom domain is younger
    return Reported(row.project_id, row.created_at, row.github_deployment_id or 0, fqdns)


async def is_shown(conn: AsyncConnection, deployment_id: str) -> bool:
    """Tell whether GitHub may show a deployment: its commit is known, and its app's repository is connected.

    What the deployment belongs to may be gone.
    """
    known, connection = deployments_table.c, github_repo_connections.c
    query = (
        select(known.id)
        .join(github_repo_connections, connection.app_id == known.app_id)
        .where(known.id == deployment_id, known.git_commit_sha.is_not(None), known.git_commit_sha != "")
        .where(connection.installation_id != 0, connection.repository_full_name != "")
    )
    return (await conn.execute(query.limit(1))).first() is not None


async def keep_github_deployment(
    conn: AsyncConnection, deployment_id: str, github_deployment_id: int, now_ms: int
) -> None:
    """Keep GitHub's id for a deployment."""
    await deployments.change(conn, deployment_id, now_ms, github_deployment_id=github_deployment_id)
