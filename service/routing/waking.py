"""Setting a deployment running again, in the regions that can take it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from service.database import deployments, instances, topologies
from service.database.deployments import Subject
from service.database.topologies import Topology
from service.domain.deployment import DesiredState, Status, TopologyStatus
from service.domain.health import RegionObservation
from service.domain.topology import required_regions
from service.errors import FailedPrecondition, NotFound
from service.routing.preconditions import check_has_topology


@dataclass(frozen=True)
class Usable:
    """The regions that can run a deployment, and what was seen in each, by region id."""

    topologies: list[Topology]
    seen: Mapping[str, RegionObservation]

    @property
    def healthy(self) -> bool:
        """Whether so many regions are healthy that traffic may go there now."""
        count = sum(self._is_healthy(topology.region_id) for topology in self.topologies)
        return count >= required_regions(len(self.topologies))

    def _is_healthy(self, region_id: str) -> bool:
        return region_id in self.seen and self.seen[region_id].healthy


@dataclass(frozen=True)
class Woken:
    """Where a deployment is to run: region id → name.

    `set_running` where it was at rest, `healthy` where it ran and is healthy already. `seen_before` is the newest row
    of an instance when it was set running (its pk): older ones may be about to end.
    """

    regions: dict[str, str]
    set_running: bool = False
    healthy: bool = False
    seen_before: int = 0


async def usable_regions(conn: AsyncConnection, target: Subject) -> Usable:
    """Find the regions that can run a deployment: they take work, or it is there already and healthy.

    One that is set to run is left where it runs. Raises FailedPrecondition where it has no region, or none can run it.
    """
    existing = await topologies.existing(conn, target.deployment_id)
    check_has_topology(target.deployment_id, existing)
    seen = (await instances.observe(conn, {target.deployment_id})).get(target.deployment_id, {})
    known = [topology for topology in existing.values() if topology.takes_work is not None]
    if target.desired_state == DesiredState.RUNNING and any(topology.runs for topology in known):
        known = [topology for topology in known if topology.runs]
    usable = [
        topology
        for topology in known
        if topology.takes_work or (topology.region_id in seen and seen[topology.region_id].healthy)
    ]
    if not usable:
        raise no_region(target.deployment_id, existing.values())
    return Usable(usable, seen)


def no_region(deployment_id: str, existing: Iterable[Topology]) -> FailedPrecondition:
    names = ", ".join(sorted(topology.region_name for topology in existing))
    return FailedPrecondition(
        f"the deployment {deployment_id!r} cannot run: none of its regions ({names}) takes work: "
        "let one schedule again, or deploy a new one to other regions",
        reason="NO_SCHEDULABLE_REGION",
    )


async def wake(conn: AsyncConnection, target: Subject, now_ms: int) -> Woken:
    """Set a deployment running in the regions that can run it, unless it is.

    The caller holds the locks of app and deployment. Raises as `usable_regions`, and Uncounted.
    """
    usable = await usable_regions(conn, target)
    regions = {topology.region_id: topology.region_name for topology in usable.topologies}
    stopped = [topology.region_id for topology in usable.topologies if not topology.runs]
    if not stopped and target.desired_state == DesiredState.RUNNING:
        return Woken(regions, healthy=usable.healthy)
    seen_before = await instances.newest(conn, target.deployment_id)
    await topologies.set_status(conn, target.deployment_id, TopologyStatus.RUNNING, stopped, now_ms)
    await deployments.set_desired_state(conn, target.deployment_id, DesiredState.RUNNING, now_ms)
    return Woken(regions, set_running=True, seen_before=seen_before)


async def serves_again(conn: AsyncConnection, deployment_id: str, now_ms: int) -> bool:
    """Set running what is to get its traffic back, and tell whether it can serve it.

    The caller holds the app's lock. Raises Uncounted.
    """
    if not await deployments.lock(conn, deployment_id):
        return False
    try:
        previous = await deployments.subject(conn, deployment_id)
        if previous.status != Status.READY or previous.desired_state == DesiredState.ARCHIVED:
            return False
        existing = await topologies.existing(conn, deployment_id)
        if previous.desired_state != DesiredState.RUNNING or not any(region.runs for region in existing.values()):
            await wake(conn, previous, now_ms)
    except (NotFound, FailedPrecondition):
        return False
    return True
