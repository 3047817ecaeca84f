"""Phase `deploying`, second half: wait until enough regions are healthy."""

from datetime import timedelta

import structlog

from service.clock import now_ms
from service.domain.topology import required_regions
from service.durable.journal import Journal
from service.errors import RegionsUnhealthy
from service.workflow.health_gate import Doubts, Verdict
from service.workflow.phases.provision import Provisioned
from service.workflow.runtime import Runtime

log = structlog.get_logger(__name__)

# A wait is cut into slices, each a journaled step: short enough that a crash repeats little of it, longer than any time
# that a region can be set to hold still for (1 minute).
_SLICE = timedelta(minutes=2)

# However late a worker comes to it, it looks: the verdict is of what is there, not of what nobody saw.
_SHORTEST = timedelta(seconds=1)


async def await_healthy(
    journal: Journal,
    runtime: Runtime,
    deployment_id: str,
    provisioned: Provisioned,
) -> dict[str, str]:
    """Wait for min(2, all) regions to be healthy and return what was last seen in those that are not, by name.

    Raises RegionsUnhealthy at the deadline, naming the last status of each region.
    """
    regions = provisioned.regions
    required = required_regions(len(regions))
    flapped: list[str] = []

    def seen_outside(verdict: Verdict, inside: list[str]) -> dict[str, str]:
        return {regions[region_id]: seen for region_id, seen in verdict.seen.items() if region_id not in inside}

    async def look() -> tuple[Verdict, bool]:
        left = timedelta(milliseconds=provisioned.deadline_ms - now_ms())
        limit = max(min(left, _SLICE), _SHORTEST)
        doubts = Doubts(flapped, provisioned.seen_before)
        verdict = await runtime.gate.wait(deployment_id, sorted(regions), required, limit, doubts)
        behind = seen_outside(verdict, verdict.healthy_regions)
        if verdict.ready and behind:
            log.warning("going on without regions", deployment=deployment_id, regions=behind)
        return verdict, left <= _SLICE

    while True:
        verdict, expired = await journal.step("await healthy regions", tuple[Verdict, bool], look)
        flapped = verdict.flapped_regions
        if verdict.ready:
            return seen_outside(verdict, verdict.healthy_regions)
        if expired:
            raise _too_few(seen_outside(verdict, verdict.steady_regions), required, len(regions))


def _too_few(unhealthy: dict[str, str], required: int, total: int) -> RegionsUnhealthy:
    described = "; ".join(f"{name}: {seen}" for name, seen in sorted(unhealthy.items()))
    return RegionsUnhealthy(
        f"{total - len(unhealthy)} of {total} regions became healthy in time and {required} must: {described}; "
        "check that the app starts, listens on its port and passes its health check",
        reason="REGIONS_UNHEALTHY",
        **{f"region.{name}": seen for name, seen in sorted(unhealthy.items())},
    )
