"""What is desired in each region: topologies, and the quota they count against."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database import versions
from service.database.deployments import Subject
from service.database.tables import (
    app_regional_settings,
    apps,
    deployment_topology,
    deployments,
    frontline_routes,
    quota,
    regions,
)
from service.database.upsert import upsert
from service.domain.deployment import TopologyStatus
from service.domain.hostname import Sticky
from service.domain.topology import Allocation, Quota, RegionalSetting, Target
from service.errors import FailedPrecondition


@dataclass(frozen=True)
class Topology:
    """A topology row as it stands, and its region: `takes_work` is None where the region is gone."""

    region_id: str
    region_name: str
    desired_replicas: int
    desired_status: TopologyStatus
    takes_work: bool | None

    @property
    def runs(self) -> bool:
        """Whether it is set to run."""
        return self.desired_status is TopologyStatus.RUNNING


async def regional_settings(conn: AsyncConnection, app_id: str, environment_id: str) -> list[RegionalSetting]:
    """Read where an app's environment is to run; settings of unknown regions vanish, as in the reference."""
    rows = await conn.execute(
        select(
            regions.c.id.label("region_id"),
            regions.c.name.label("region_name"),
            app_regional_settings.c.replicas,
            regions.c.can_schedule,
        )
        .join(regions, regions.c.id == app_regional_settings.c.region_id)
        .where(app_regional_settings.c.app_id == app_id, app_regional_settings.c.environment_id == environment_id)
        .order_by(regions.c.id)
    )
    return [RegionalSetting(**row) for row in rows.mappings()]


async def lock_quota(conn: AsyncConnection, workspace_id: str) -> Quota:
    """Read a workspace's quota and lock it, so that two deploys cannot both take what is left."""
    row = (
        await conn.execute(
            select(quota.c.allocated_cpu_millicores_total, quota.c.allocated_memory_mib_total)
            .where(quota.c.workspace_id == workspace_id)
            .with_for_update()
        )
    ).one_or_none()
    if row is None:
        raise FailedPrecondition(
            f"the workspace {workspace_id!r} has no quota: its administrator has to set one", reason="QUOTA_NOT_FOUND"
        )
    return Quota(cpu_millicores=row[0], memory_mib=row[1])


async def allocated(conn: AsyncConnection, workspace_id: str, without: Iterable[str]) -> Allocation:
    """Sum what the workspace's running topologies take, leaving out some deployments."""
    row = (
        await conn.execute(
            select(
                func.coalesce(func.sum(deployments.c.cpu_millicores * deployment_topology.c.desired_replicas), 0),
                func.coalesce(func.sum(deployments.c.memory_mib * deployment_topology.c.desired_replicas), 0),
            )
            .join(deployments, deployments.c.id == deployment_topology.c.deployment_id)
            .where(
                deployment_topology.c.workspace_id == workspace_id,
                deployment_topology.c.desired_status == TopologyStatus.RUNNING.value,
                deployment_topology.c.deployment_id.not_in(sorted(without)),
            )
        )
    ).one()
    return Allocation(cpu_millicores=int(row[0]), memory_mib=int(row[1]))


async def replaced_by(conn: AsyncConnection, of: Subject) -> set[str]:
    """Return the deployments that a deploy of `of` takes the place of in its environment (06 · Q2)."""
    live = select(deployments.c.id).join(apps, apps.c.current_deployment_id == deployments.c.id)
    routed = select(frontline_routes.c.deployment_id)
    return {
        *await conn.scalars(live.where(apps.c.id == of.app_id, deployments.c.environment_id == of.environment_id)),
        *await conn.scalars(
            routed.where(
                frontline_routes.c.environment_id == of.environment_id,
                frontline_routes.c.sticky == Sticky.ENVIRONMENT.value,
            )
        ),
    }


async def existing(conn: AsyncConnection, deployment_id: str) -> dict[str, Topology]:
    """Read a deployment's topologies by region id; a region without a row goes by its id."""
    rows = await conn.execute(
        select(
            deployment_topology.c.region_id,
            func.coalesce(regions.c.name, deployment_topology.c.region_id).label("region_name"),
            deployment_topology.c.desired_replicas,
            deployment_topology.c.desired_status,
            regions.c.can_schedule,
        )
        .outerjoin(regions, regions.c.id == deployment_topology.c.region_id)
        .where(deployment_topology.c.deployment_id == deployment_id)
        .order_by(deployment_topology.c.region_id)
    )
    return {
        row.region_id: Topology(
            row.region_id,
            row.region_name,
            row.desired_replicas,
            TopologyStatus(row.desired_status),
            None if row.can_schedule is None else bool(row.can_schedule),
        )
        for row in rows
    }


async def run(
    conn: AsyncConnection, of: Subject, targets: Iterable[Target], taken: Mapping[str, int], now_ms: int
) -> None:
    """Set the deployment running in the target regions; a row left by an earlier attempt is taken over."""
    rows = [
        {
            "workspace_id": of.workspace_id,
            "deployment_id": of.deployment_id,
            "region_id": target.region_id,
            "desired_replicas": target.replicas,
            "version": taken[target.region_id],
            "desired_status": TopologyStatus.RUNNING.value,
            "created_at": now_ms,
            "updated_at": None,
        }
        for target in targets
    ]
    if rows:
        changed = ("desired_replicas", "version", "desired_status")
        await upsert(conn, deployment_topology, rows, key=("deployment_id", "region_id"), update=changed)


async def set_status(
    conn: AsyncConnection, deployment_id: str, status: TopologyStatus, region_ids: Collection[str], now_ms: int
) -> None:
    """Set the desired status of the deployment's topologies in some regions, each under a new version.

    Locks the regions' counters until the transaction ends. Raises Uncounted where one has none.
    """
    if not region_ids:
        return
    stamps = await versions.lock(conn, region_ids)
    for region_id in sorted(region_ids):
        await conn.execute(
            update(deployment_topology)
            .where(deployment_topology.c.deployment_id == deployment_id, deployment_topology.c.region_id == region_id)
            .values(desired_status=status.value, version=stamps.take(region_id), updated_at=now_ms)
        )
    await stamps.save(conn)
