"""Phase `deploying`, first half: topologies, sentinels and network policies, written in one transaction."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from service.clock import now_ms
from service.database import attempts, deployments, operations, policies, sentinels, topologies, versions
from service.database.deployments import Subject
from service.database.versions import Stamps
from service.domain import network_policy
from service.domain.deployment import DesiredState, TopologyStatus
from service.domain.identifiers import Prefix, dns_label, new_id
from service.domain.network_policy import Policy, PolicyInput
from service.domain.topology import Target, check_quota, requested, schedulable
from service.durable.journal import Journal
from service.workflow.counters import floors_of
from service.workflow.runtime import Options, Runtime


@dataclass(frozen=True)
class Provisioned:
    """Where the deployment runs, by region id → name, and until when its health is awaited (Unix ms)."""

    regions: dict[str, str]
    deadline_ms: int
    uncounted: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Draw:
    """The chance that a provisioning uses, fixed by the journal before the step begins."""

    seed: int

    def of(self, region_id: str) -> random.Random:
        return random.Random(f"{self.seed}:{region_id}")  # noqa: S311 - names, not secrets; seeded by the journal


async def provision(journal: Journal, runtime: Runtime, subject: Subject) -> Provisioned:
    """Write everything that regional agents need to run the deployment.

    Raises FailedPrecondition without a region to run in, QuotaExceeded above the workspace's quota.
    """
    draw = Draw(journal.ctx.random().getrandbits(64))

    async def attempt(floors: Mapping[str, int]) -> Provisioned:
        async def work(conn: AsyncConnection) -> Provisioned:
            return await _provision(conn, subject, _Plan(journal.operation_id, draw, runtime.options, floors, now_ms()))

        return await runtime.database.transact(work)

    provisioned = await journal.step("provision regions", Provisioned, lambda: attempt({}))
    if provisioned.uncounted:
        floors = await floors_of(journal, provisioned.uncounted)
        provisioned = await journal.step("provision regions", Provisioned, lambda: attempt(floors))
    return provisioned


@dataclass(frozen=True)
class _Plan:
    operation_id: str
    draw: Draw
    options: Options
    floors: Mapping[str, int]
    now_ms: int


async def _provision(conn: AsyncConnection, subject: Subject, plan: _Plan) -> Provisioned:
    await attempts.require(conn, subject.deployment_id, plan.operation_id)
    settings = await topologies.regional_settings(conn, subject.app_id, subject.environment_id)
    targets = schedulable(settings)
    await _check_quota(conn, subject, targets, surge=plan.options.quota_surge)
    await versions.start_counters(conn, plan.floors)
    region_ids = [target.region_id for target in targets]
    if uncounted := await versions.uncounted(conn, region_ids):
        return Provisioned(regions={}, deadline_ms=0, uncounted=uncounted)
    stamps = await versions.lock(conn, region_ids)
    await _run_topologies(conn, subject, targets, stamps, plan)
    await _add_sentinels(conn, subject, targets, stamps, plan)
    await _apply_policies(conn, subject, targets, stamps, plan)
    await stamps.save(conn)
    await deployments.set_desired_state(conn, subject.deployment_id, DesiredState.RUNNING, plan.now_ms)
    regions = {target.region_id: target.region_name for target in targets}
    await operations.annotate(conn, plan.operation_id, {"regions": sorted(regions.values())})
    return Provisioned(regions, deadline_ms=plan.now_ms + int(plan.options.health_timeout.total_seconds() * 1000))


async def _check_quota(conn: AsyncConnection, subject: Subject, targets: tuple[Target, ...], *, surge: bool) -> None:
    """Check the quota under its lock; what this deploy replaces is about to go and may be exceeded by (06 · Q2)."""
    quota = await topologies.lock_quota(conn, subject.workspace_id)
    uncounted = {subject.deployment_id}
    if surge:
        uncounted |= await topologies.replaced_by(conn, subject)
    allocated = await topologies.allocated(conn, subject.workspace_id, without=uncounted)
    check_quota(quota, allocated, requested(subject.cpu_millicores, subject.memory_mib, targets))


async def _run_topologies(
    conn: AsyncConnection, subject: Subject, targets: tuple[Target, ...], stamps: Stamps, plan: _Plan
) -> None:
    """Set the targets running, leaving alone what already is as it should be: a repeat takes no number."""
    existing = await topologies.existing(conn, subject.deployment_id)
    changed = [target for target in targets if not _runs(existing.get(target.region_id), target)]
    taken = {target.region_id: stamps.take(target.region_id) for target in changed}
    await topologies.run(conn, subject, changed, taken, plan.now_ms)


def _runs(topology: topologies.Topology | None, target: Target) -> bool:
    return (
        topology is not None
        and topology.desired_status == TopologyStatus.RUNNING
        and topology.desired_replicas == target.replicas
    )


async def _add_sentinels(
    conn: AsyncConnection, subject: Subject, targets: tuple[Target, ...], stamps: Stamps, plan: _Plan
) -> None:
    present = await sentinels.regions_with(conn, subject.environment_id)
    rows: list[dict[str, Any]] = []
    for target in targets:
        if target.region_id in present:
            continue
        chance = plan.draw.of(f"sentinel:{target.region_id}")
        placed = sentinels.Placement(
            region_id=target.region_id,
            sentinel_id=new_id(Prefix.SENTINEL, chance),
            k8s_name=dns_label(chance),
            image=plan.options.sentinel_image,
            version=stamps.take(target.region_id),
        )
        rows.append(sentinels.row(subject, placed, plan.now_ms))
    await sentinels.insert(conn, rows)


async def _apply_policies(
    conn: AsyncConnection, subject: Subject, targets: tuple[Target, ...], stamps: Stamps, plan: _Plan
) -> None:
    """Bring the network policies about, leaving alone those that stand as wanted."""
    existing = await policies.existing(conn, subject.deployment_id)
    rows: list[dict[str, Any]] = []
    for target in targets:
        for wanted in _policies(subject, target.region_id, existing, plan.draw):
            stored = existing.get((target.region_id, wanted.name))
            if stored is None:
                placed = policies.Placement(target.region_id, stamps.take(target.region_id))
                rows.append(policies.row(subject, wanted, placed, plan.now_ms))
            elif not network_policy.same(stored.document, wanted.document):
                await policies.replace(conn, wanted, stamps.take(target.region_id), plan.now_ms)
    await policies.insert(conn, rows)


def _policies(
    subject: Subject, region_id: str, existing: Mapping[tuple[str, str], policies.Stored], draw: Draw
) -> tuple[Policy, Policy]:
    """Write the two documents of a region; a policy that exists keeps its id."""
    chance = draw.of(f"policy:{region_id}")
    fresh = {name: new_id(Prefix.POLICY, chance) for name in network_policy.names(subject.k8s_name)}
    ids = [
        existing[region_id, name].policy_id if (region_id, name) in existing else fresh_id
        for name, fresh_id in fresh.items()
    ]
    return network_policy.policies(
        PolicyInput(
            workspace_id=subject.workspace_id,
            environment_id=subject.environment_id,
            deployment_id=subject.deployment_id,
            k8s_name=subject.k8s_name,
            k8s_namespace=subject.k8s_namespace or "",
            port=subject.port,
            ingress_policy_id=ids[0],
            egress_policy_id=ids[1],
        )
    )
