"""Instances as the regional agents report them (03 · 7)."""

from collections import defaultdict
from collections.abc import Collection

from sqlalchemy import and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database.tables import deployment_topology, instances
from service.domain.deployment import TopologyStatus
from service.domain.health import RegionObservation


async def newest(conn: AsyncConnection, deployment_id: str) -> int:
    """Return the pk of the newest row of an instance of the deployment, 0 for none: later rows have higher ones."""
    query = select(func.max(instances.c.pk)).where(instances.c.deployment_id == deployment_id)
    return int(await conn.scalar(query) or 0)


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
            func.min(instances.c.pk),
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
    oldest: dict[tuple[str, str, int], int] = {}
    for deployment_id, region_id, desired, status, count, first in rows:
        place = (deployment_id, region_id, desired)
        by_status = counts[place]
        if status is not None:
            by_status[status] = count
            oldest[place] = min(first, oldest.get(place, first))
    observed: dict[str, dict[str, RegionObservation]] = defaultdict(dict)
    for place, by_status in counts.items():
        deployment_id, region_id, desired = place
        observed[deployment_id][region_id] = RegionObservation(desired, by_status, oldest.get(place))
    return dict(observed)
