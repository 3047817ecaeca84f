"""Instances as the regional agents report them (03 · 7)."""

from collections import defaultdict
from collections.abc import Collection

from sqlalchemy import and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database.tables import deployment_topology, instances
from service.domain.deployment import TopologyStatus
from service.domain.health import RegionObservation


async def observe(conn: AsyncConnection, deployment_ids: Collection[str]) -> dict[str, dict[str, RegionObservation]]:
    """Look at many deployments at once: deployment id → region id → desired replicas and instances by status.

    One query whatever their number. Regions whose topology is not to run are left out.
    """
    rows = await conn.execute(
        select(
            deployment_topology.c.deployment_id,
            deployment_topology.c.region_id,
            deployment_topology.c.desired_replicas,
            instances.c.status,
            func.count(instances.c.pk),
        )
        .outerjoin(
            instances,
            and_(
                instances.c.deployment_id == deployment_topology.c.deployment_id,
                instances.c.region_id == deployment_topology.c.region_id,
            ),
        )
        .where(
            deployment_topology.c.deployment_id.in_(sorted(deployment_ids)),
            deployment_topology.c.desired_status == TopologyStatus.RUNNING.value,
        )
        .group_by(
            deployment_topology.c.deployment_id,
            deployment_topology.c.region_id,
            deployment_topology.c.desired_replicas,
            instances.c.status,
        )
    )
    counts: dict[tuple[str, str, int], dict[str, int]] = defaultdict(dict)
    for deployment_id, region_id, desired, status, count in rows:
        by_status = counts[deployment_id, region_id, desired]
        if status is not None:
            by_status[status] = count
    observed: dict[str, dict[str, RegionObservation]] = defaultdict(dict)
    for (deployment_id, region_id, desired), by_status in counts.items():
        observed[deployment_id][region_id] = RegionObservation(desired, by_status)
    return dict(observed)
