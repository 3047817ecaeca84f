"""What a rollback or a promotion would do if it began now: every check that it makes, and nothing written."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from service.database.deployments import Subject
from service.database.switches import Move
from service.domain.deployment import DesiredState
from service.routing import decisions
from service.routing.admission import Admitted, admit_promotion, admit_rollback
from service.routing.decisions import Decision
from service.routing.switch import Kind, Order, lock_target
from service.routing.waking import usable_regions


@dataclass(frozen=True)
class Plan:
    """What would happen. `wakes`: the target rests, and would be set running and awaited before traffic moves.

    `live_id` is live now; `superseded` would be scheduled for standby, `held_back` for later.
    """

    target: Subject
    live_id: str
    wakes: bool
    moved: list[Move]
    superseded: list[str]
    held_back: list[str]


async def plan_rollback(conn: AsyncConnection, source_id: str, target_id: str) -> Plan:
    """Plan a rollback. Raises NotFound and FailedPrecondition, as the rollback would."""
    admitted = await admit_rollback(conn, source_id, target_id)
    wakes = await _rests(conn, admitted.target)
    return _plan(admitted, await decisions.for_rollback(conn, admitted.app, admitted.target, source_id), wakes=wakes)


async def plan_promotion(conn: AsyncConnection, target_id: str) -> Plan:
    """Plan a promotion. Raises NotFound and FailedPrecondition, as the promotion would."""
    admitted = await admit_promotion(conn, target_id)
    wakes = False
    if admitted.app.current_deployment_id == target_id:
        # The confirmation of a rollback wakes nobody: what is live has to run.
        await lock_target(conn, Order("", admitted.app.app_id, target_id, Kind.PROMOTE))
    else:
        wakes = await _rests(conn, admitted.target)
    return _plan(admitted, await decisions.for_promote(conn, admitted.app, admitted.target), wakes=wakes)


async def _rests(conn: AsyncConnection, target: Subject) -> bool:
    usable = await usable_regions(conn, target)
    return target.desired_state != DesiredState.RUNNING or not all(region.runs for region in usable.topologies)


def _plan(admitted: Admitted, decision: Decision, *, wakes: bool) -> Plan:
    live_id = admitted.app.current_deployment_id or ""
    return Plan(admitted.target, live_id, wakes, decision.moved, decision.superseded, decision.held_back)
