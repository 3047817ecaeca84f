"""Where a deployment runs, how much of the workspace's quota that takes, and the sentinels in front of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from service.domain.deployment import PRODUCTION
from service.errors import FailedPrecondition, QuotaExceeded

SENTINEL_NAMESPACE = "sentinel"
SENTINEL_PORT = 8040


@dataclass(frozen=True, slots=True)
class RegionalSetting:
    """A row of `app_regional_settings` joined with its region."""

    region_id: str
    region_name: str
    replicas: int
    can_schedule: bool


@dataclass(frozen=True, slots=True)
class Target:
    """A region that the deployment goes to; `replicas` is positive."""

    region_id: str
    region_name: str
    replicas: int


def schedulable(settings: Iterable[RegionalSetting]) -> tuple[Target, ...]:
    """Pick the regions to deploy to, sorted by region id; never empty.

    Regions that cannot schedule or are set to no replicas are left out; none left raises FailedPrecondition.
    """
    rows = sorted(settings, key=lambda row: row.region_id)
    targets = tuple(
        Target(row.region_id, row.region_name, row.replicas) for row in rows if row.can_schedule and row.replicas > 0
    )
    if not targets:
        raise FailedPrecondition(_nowhere(rows), reason="NO_SCHEDULABLE_REGION")
    return targets


def _nowhere(rows: Sequence[RegionalSetting]) -> str:
    if not rows:
        return "the app has no region set for this environment: add one in its regional settings"
    why = ", ".join(f"{row.region_name} {'has no replicas' if row.can_schedule else 'cannot schedule'}" for row in rows)
    return f"no region of the environment can take the deployment ({why}): add one or give one replicas"


def required_regions(regions: int) -> int:
    """Say how many of so many regions must be healthy before traffic moves: two, or the only one."""
    return min(2, regions)


@dataclass(frozen=True, slots=True)
class Quota:
    """What a workspace may allocate in all."""

    cpu_millicores: int
    memory_mib: int


@dataclass(frozen=True, slots=True)
class Allocation:
    """What runs, or is to run, summed over replicas and regions."""

    cpu_millicores: int
    memory_mib: int


def requested(cpu_millicores: int, memory_mib: int, targets: Iterable[Target]) -> Allocation:
    """Sum up what a deployment takes; the arguments are per replica."""
    replicas = sum(target.replicas for target in targets)
    return Allocation(cpu_millicores * replicas, memory_mib * replicas)


def check_quota(quota: Quota, allocated: Allocation, wanted: Allocation) -> None:
    """Raise QuotaExceeded when both together are above the quota, not when equal; CPU is looked at first."""
    figures = (
        ("CPU", "millicores", quota.cpu_millicores, allocated.cpu_millicores, wanted.cpu_millicores),
        ("memory", "MiB", quota.memory_mib, allocated.memory_mib, wanted.memory_mib),
    )
    for resource, unit, limit, taken, more in figures:
        if taken + more > limit:
            raise QuotaExceeded(
                f"the deployment needs {more} {unit} of {resource}, but {taken} of the workspace's {limit} "
                f"are in use: ask for less {resource} or fewer replicas, or have the quota raised",
                reason="QUOTA_EXCEEDED",
                resource=resource,
                unit=unit,
                quota=str(limit),
                allocated=str(taken),
                requested=str(more),
            )


@dataclass(frozen=True, slots=True)
class Sentinel:
    """The size of an environment's sentinel in one region."""

    desired_replicas: int
    cpu_millicores: int = 256
    memory_mib: int = 256


def sentinel(environment_slug: str) -> Sentinel:
    """Size the sentinel of an environment."""
    return Sentinel(desired_replicas=3 if environment_slug == PRODUCTION else 1)


def sentinel_address(k8s_name: str) -> str:
    """Address a sentinel inside its region's cluster."""
    return f"{k8s_name}.{SENTINEL_NAMESPACE}.svc.cluster.local:{SENTINEL_PORT}"
