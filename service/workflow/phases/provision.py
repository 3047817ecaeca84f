"""Phase `deploying`, first half: topologies, sentinels and network policies, written in one transaction."""

import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from service.clock import now_ms
from service.counters import Counters
from service.database import (
    apps,
    attempts,
    deployments,
    instances,
    operations,
    policies,
    sentinels,
    switches,
    topologies,
    versions,
)
from service.database.deployments import Subject
from service.database.switches import Lately
from service.database.versions import Stamps
from service.domain import network_policy
from service.domain.deployment import DesiredState, TopologyStatus
from service.domain.identifiers import Prefix, dns_label, new_id
from service.domain.network_policy import Policy, PolicyInput
from service.domain.topology import Quota, Target, check_quota, requested, schedulable
from service.durable.journal import Journal
from service.workflow.runtime import Options, Runtime


@dataclass(frozen=True)
class Provisioned:
    """Where the deployment runs, by region id → name, and until when its health is awaited (Unix ms).

    `seen_before` is the newest row of an instance (its pk) that an earlier order has left, 0 for none.
    """

    regions: dict[str, str]
    deadline_ms: int
    seen_before: int = 0


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

    async def work(conn: AsyncConnection) -> Provisioned:
        return await _provision(conn, subject, _Plan(journal.operation_id, draw, runtime.options, now_ms()))

    database = runtime.database
    return await Counters(journal, database).step("provision regions", Provisioned, lambda: database.transact(work))


@dataclass(frozen=True)
class _Plan:
    operation_id: str
    draw: Draw
    options: Options
    now_ms: int


@dataclass(frozen=True)
class _Left:
    """What an earlier attempt has left: its topologies by region id, and its newest row of an instance (its pk).

    `is_ours` says that this attempt has written them itself: a repeat of the step changes nothing.
    """

    topologies: Mapping[str, topologies.Topology]
    is_ours: bool
    seen_before: int

    def keeps(self, target: Target) -> bool:
        """Tell whether a target stands as this attempt has written it. A new attempt always tells the agents."""
        topology = self.topologies.get(target.region_id)
        return self.is_ours and topology is not None and topology.runs and topology.desired_replicas == target.replicas

    def to_stop(self, targets: Collection[Target]) -> list[str]:
        """Return the regions that are no longer targets."""
        wanted = {target.region_id for target in targets}
        return sorted(region_id for region_id, row in self.topologies.items() if row.runs and region_id not in wanted)


async def _provision(conn: AsyncConnection, subject: Subject, plan: _Plan) -> Provisioned:
    # The quota's lock first: what is read after it is what the deploy before this one has written.
    quota = await topologies.lock_quota(conn, subject.workspace_id)
    await attempts.require(conn, subject.deployment_id, plan.operation_id)
    settings = await topologies.regional_settings(conn, subject.app_id, subject.environment_id)
    targets = schedulable(settings)
    await _check_quota(conn, subject, targets, quota, plan)
    left = await _left(conn, subject, plan)
    to_stop = left.to_stop(targets)
    stamps = await versions.lock(conn, [*(target.region_id for target in targets), *to_stop])
    changed = [target for target in targets if not left.keeps(target)]
    await _run_topologies(conn, subject, changed, stamps, plan)
    await _add_sentinels(conn, subject, targets, stamps, plan)
    await _apply_policies(conn, subject, targets, stamps, plan)
    await stamps.save(conn)
    await topologies.set_status(conn, subject.deployment_id, TopologyStatus.STOPPED, to_stop, plan.now_ms)
    await deployments.set_desired_state(conn, subject.deployment_id, DesiredState.RUNNING, plan.now_ms)
    regions = {target.region_id: target.region_name for target in targets}
    facts = {"regions": sorted(regions.values())} | ({"seen_before": left.seen_before} if left.seen_before else {})
    await operations.annotate(conn, plan.operation_id, facts)
    deadline_ms = plan.now_ms + plan.options.health_timeout_ms
    return Provisioned(regions, deadline_ms, left.seen_before)


async def _left(conn: AsyncConnection, subject: Subject, plan: _Plan) -> _Left:
    existing = await topologies.existing(conn, subject.deployment_id)
    if not existing:
        return _Left({}, is_ours=False, seen_before=0)
    written = await operations.detail(conn, plan.operation_id)
    if "regions" in written:
        return _Left(existing, is_ours=True, seen_before=written.get("seen_before", 0))
    return _Left(existing, is_ours=False, seen_before=await instances.newest(conn, subject.deployment_id))


async def _check_quota(
    conn: AsyncConnection, subject: Subject, targets: tuple[Target, ...], quota: Quota, plan: _Plan
) -> None:
    """Check the workspace's quota, whose lock the caller holds.

    What this deploy replaces is about to go, and so is what lost its place a while ago: neither counts.
    """
    uncounted = {subject.deployment_id}
    if plan.options.quota_surge:
        app = await apps.find(conn, subject.app_id)
        lately = Lately(plan.now_ms, plan.options.standby_delay_ms)
        uncounted |= await topologies.replaced_by(conn, subject)
        uncounted |= await switches.on_their_way_out(conn, app, subject.environment_id, lately)
    allocated = await topologies.allocated(conn, subject.workspace_id, without=uncounted)
    check_quota(quota, allocated, requested(subject.cpu_millicores, subject.memory_mib, targets))


async def _run_topologies(
    conn: AsyncConnection, subject: Subject, changed: list[Target], stamps: Stamps, plan: _Plan
) -> None:
    """Set targets running, each under a new version: it tells the agents of this attempt's image."""
    taken = {target.region_id: stamps.take(target.region_id) for target in changed}
    await topologies.run(conn, subject, changed, taken, plan.now_ms)


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
