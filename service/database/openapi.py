"""OpenAPI documents: where an app publishes its own, and the copy that is kept of a deployment's."""

from dataclasses import dataclass, field

from sqlalchemy import and_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database.deployments import deployment_not_found
from service.database.tables import app_runtime_settings, deployments, frontline_routes, instances, openapi_specs
from service.database.upsert import upsert
from service.domain.health import InstanceStatus
from service.domain.hostname import Sticky


@dataclass(frozen=True)
class Publication:
    """Where a deployment publishes its document; an empty path or host name means nowhere."""

    workspace_id: str
    path: str
    fqdn: str


async def publication(conn: AsyncConnection, deployment_id: str) -> Publication:
    """Read where a deployment publishes its document. Raises NotFound for a missing deployment."""
    settings, routes = app_runtime_settings, frontline_routes
    query = (
        select(deployments.c.id, deployments.c.workspace_id, settings.c.openapi_spec_path, _FQDN)
        .outerjoin(
            settings,
            and_(settings.c.app_id == deployments.c.app_id, settings.c.environment_id == deployments.c.environment_id),
        )
        .outerjoin(
            routes,
            and_(routes.c.deployment_id == deployments.c.id, routes.c.sticky == Sticky.DEPLOYMENT.value),
        )
        .where(deployments.c.id == deployment_id)
        .order_by(routes.c.pk)
        .limit(1)
    )
    row = (await conn.execute(query)).one_or_none()
    if row is None or row.id != deployment_id:
        raise deployment_not_found(deployment_id)
    return Publication(row.workspace_id, row.openapi_spec_path or "", row.fully_qualified_domain_name or "")


_FQDN = frontline_routes.c.fully_qualified_domain_name


async def running_instance(conn: AsyncConnection, deployment_id: str) -> str:
    """Read the address of an instance that runs, `host:port`; empty where none does."""
    query = select(instances.c.address).where(
        instances.c.deployment_id == deployment_id, instances.c.status == InstanceStatus.RUNNING.value
    )
    address: str | None = await conn.scalar(query.order_by(instances.c.pk).limit(1))
    return address or ""


@dataclass(frozen=True)
class Spec:
    """A document as it is kept; `content` is what the app published, byte for byte."""

    spec_id: str
    workspace_id: str
    deployment_id: str
    content: bytes = field(repr=False)


async def keep(conn: AsyncConnection, spec: Spec, now_ms: int) -> None:
    """Keep a deployment's document, in place of an earlier one, whose id and age stay."""
    row = {
        "id": spec.spec_id,
        "workspace_id": spec.workspace_id,
        "deployment_id": spec.deployment_id,
        "portal_config_id": None,
        "content": spec.content,
        "created_at": now_ms,
        "updated_at": now_ms,
    }
    await upsert(conn, openapi_specs, row, key=["workspace_id", "deployment_id"], update=["content", "updated_at"])
