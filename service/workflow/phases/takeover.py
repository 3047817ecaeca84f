"""Moving traffic to a deployment that was ready before: what Rollback and Promote have in common (02 · 2 and 3)."""

from dataclasses import dataclass
from datetime import timedelta

from hydra.v1 import routing_pb2
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database import apps, switches
from service.database.deployments import Subject
from service.domain.deployment import DesiredState
from service.durable.binding import Address, call
from service.durable.journal import UNDO_BUDGET, Journal
from service.workflow.compensation import Compensation
from service.workflow.phases import finalize, readiness, wake
from service.workflow.runtime import Runtime


@dataclass(frozen=True)
class Takeover:
    """The deployment to get traffic, why, and from whom (rollback only)."""

    target: Subject
    kind: int
    source_id: str = ""


@dataclass(frozen=True)
class Rest:
    """When a deployment is to rest; None for not at all."""

    after: timedelta | None = None


async def take_over(journal: Journal, runtime: Runtime, takeover: Takeover, undo: Compensation) -> list[str]:
    """Make the target run and healthy, then switch; returns the deployments that lost their place.

    Its scheduled changes are forgotten first: from then on nothing puts it to rest behind our back.
    """
    target = takeover.target
    undo.add("let the target rest again", lambda _: _rest_again(journal, runtime, target))
    await finalize.clear_scheduled_changes(journal, target.deployment_id).response()
    awake = await wake.wake(journal, runtime, target)
    if not awake.healthy:
        await readiness.await_healthy(journal, runtime, target, awake.placed, awake.lingering)
    undo.add("revert traffic", lambda _: finalize.revert_traffic(journal, target))
    return await switch(journal, takeover)


async def _rest_again(journal: Journal, runtime: Runtime, target: Subject) -> None:
    """Put the target back to rest: at once if it was asleep before, later if it lost its place.

    Decided from what holds now: what made this operation fail may have given the target its place, or taken it.
    """

    async def work(conn: AsyncConnection) -> Rest:
        app = await apps.find(conn, target.app_id)
        if await switches.has_place(conn, app, target.deployment_id):
            return Rest()
        if target.desired_state == DesiredState.STANDBY:
            return Rest(timedelta(0))
        replaced = await switches.was_replaced(conn, app, target.deployment_id)
        return Rest(runtime.options.standby_delay if replaced else None)

    rest = await journal.step("decide on rest", Rest, lambda: runtime.database.read(work), UNDO_BUDGET)
    if rest.after is not None:
        finalize.schedule_standby(journal, [target.deployment_id], after=rest.after)


async def switch(journal: Journal, takeover: Takeover) -> list[str]:
    """Make the switch and return the deployments that lost their place by it."""
    target = takeover.target
    request = routing_pb2.SwitchTrafficRequest(
        operation_id=journal.operation_id,
        deployment_id=target.deployment_id,
        kind=takeover.kind,  # type: ignore[arg-type] # a value of the enum
        source_deployment_id=takeover.source_id,
    )
    address = Address("hydra.v1.RoutingService", "SwitchTraffic", target.app_id)
    switched = await call(journal.ctx, address, request).response()
    return list(switched.superseded_deployment_ids)
