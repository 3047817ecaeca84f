"""Before traffic moves to a deployment that ran before: it runs, or is woken (02 · 2)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncConnection

from service.clock import now_ms
from service.database import apps, deployments, instances, topologies, versions
from service.database.deployments import Subject
from service.domain.deployment import DesiredState, TopologyStatus
from service.domain.topology import required_regions
from service.durable.journal import Journal
from service.errors import FailedPrecondition
from service.routing.preconditions import check_has_topology
from service.workflow.counters import floors_of
from service.workflow.phases.provision import Provisioned
from service.workflow.runtime import Runtime


@dataclass(frozen=True)
class Awake:
    """A deployment that is to run: whether it was woken for this, and whether it is healthy already.

    `lingering` are regions that were told to stop it, and still show instances: these may be about to end.
    """

    placed: Provisioned
    woken: bool = False
    healthy: bool = False
    uncounted: list[str] = field(default_factory=list)
    lingering: list[str] = field(default_factory=list)


async def wake(journal: Journal, runtime: Runtime, target: Subject) -> Awake:
    """Set the deployment running in all its regions, unless it is.

    Raises FailedPrecondition where it is archived or has no region to run in.
    """

    async def attempt(floors: Mapping[str, int]) -> Awake:
        return await runtime.database.transact(lambda conn: _wake(conn, runtime, target, floors))

    awake = await journal.step("wake deployment", Awake, lambda: attempt({}))
    if awake.uncounted:
        floors = await floors_of(journal, awake.uncounted)
        awake = await journal.step("wake deployment", Awake, lambda: attempt(floors))
    return awake


async def _wake(conn: AsyncConnection, runtime: Runtime, target: Subject, floors: Mapping[str, int]) -> Awake:
    now = now_ms()
    deployment_id = target.deployment_id
    await apps.lock(conn, target.app_id)
    if not await deployments.lock(conn, deployment_id):
        raise deployments.deployment_not_found(deployment_id)
    current = await deployments.subject(conn, deployment_id)
    if current.desired_state == DesiredState.ARCHIVED:
        raise FailedPrecondition(f"the deployment {deployment_id!r} is archived: deploy it again", reason="ARCHIVED")
    existing = await topologies.existing(conn, deployment_id)
    check_has_topology(deployment_id, existing)
    stopped = [region_id for region_id, row in existing.items() if row.desired_status == TopologyStatus.STOPPED]
    await versions.start_counters(conn, floors)
    names = await topologies.region_names(conn, existing)
    placed = Provisioned(names, deadline_ms=now + int(runtime.options.health_timeout.total_seconds() * 1000))
    if uncounted := await versions.uncounted(conn, stopped):
        return Awake(placed, uncounted=uncounted)
    if not stopped and current.desired_state == DesiredState.RUNNING:
        return Awake(placed, healthy=await _is_healthy(conn, deployment_id, len(existing)))
    await topologies.set_status(conn, deployment_id, TopologyStatus.RUNNING, stopped, now)
    await deployments.set_desired_state(conn, deployment_id, DesiredState.RUNNING, now)
    return Awake(placed, woken=True, lingering=await _lingering(conn, deployment_id, stopped))


async def _lingering(conn: AsyncConnection, deployment_id: str, stopped: list[str]) -> list[str]:
    seen = (await instances.observe(conn, {deployment_id})).get(deployment_id, {})
    return [region_id for region_id in stopped if region_id in seen and any(seen[region_id].instances.values())]


async def _is_healthy(conn: AsyncConnection, deployment_id: str, regions: int) -> bool:
    """Look once: what has been running all along need not prove its steadiness."""
    seen = (await instances.observe(conn, {deployment_id})).get(deployment_id, {})
    return sum(region.healthy for region in seen.values()) >= required_regions(regions)
