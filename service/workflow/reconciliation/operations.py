"""Operations whose invocation was killed, is gone, paused, or fails again and again."""

from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from service.clock import now_ms
from service.database import stuck
from service.database.stuck import Unfinished
from service.domain.reconciliation import Finding, Kind
from service.durable.admin import PAUSED, Invocation
from service.workflow.phases import report
from service.workflow.reconciliation.round import MOST, Page, Round
from service.workflow.reconciliation.settlement import Settled, settle

log = structlog.get_logger(__name__)

# A retry that goes on for so long is not about to cure itself.
_FAILING_RETRIES = 20
_FAILING_FOR = timedelta(minutes=10)


@dataclass(frozen=True)
class _Dead:
    """An operation that does not go on, and why."""

    operation: Unfinished
    finding: Finding


async def end_dead_operations(this: Round) -> None:
    """Settle the operations that nobody will end any more; those that may go on are told."""
    async for dead in this.pages("look for dead operations", _Dead, partial(_look, this)):
        await this.settle(dead.finding, partial(_end, this, dead))


async def _end(this: Round, dead: _Dead) -> None:
    if dead.finding.kind is Kind.OPERATION_PAUSED:
        await _let_go(this, dead.operation.operation_id)
        return
    settled = await _settle(this, dead.operation)
    deployment_id = dead.operation.deployment_id
    if settled.reported_as:
        report.died(this.journal, deployment_id, settled.reported_as)
    if settled.rest_after_ms is not None:
        this.let_rest(deployment_id, settled.rest_after_ms)


async def _look(this: Round, after: str) -> Page[_Dead]:
    """Ask Restate about operations that run. Their records are read first, and again when they are settled."""
    running = await this.runtime.database.read(lambda conn: stuck.unfinished(conn, after, MOST))
    known = await this.runtime.restate.by_id(each.operation_id for each in running)
    dead = []
    for operation in running:
        finding = _judge(operation, known.get(operation.operation_id), this)
        if finding is None or (finding.kind is Kind.OPERATION_GONE and await _is_there(this, operation)):
            continue
        dead.append(_Dead(operation, finding))
    return Page(dead, running[-1].operation_id if len(running) == MOST else "")


async def _is_there(this: Round, operation: Unfinished) -> bool:
    """Ask again, of the invocation's own partition: the introspection may miss one whose leader changes."""
    return await this.runtime.restate.knows(operation.operation_id)


def _judge(operation: Unfinished, invocation: Invocation | None, this: Round) -> Finding | None:
    """Say what is wrong with an operation; None for one that goes on."""
    what, subject = _described(operation), operation.operation_id
    if invocation is None:
        return Finding(Kind.OPERATION_GONE, subject, f"Restate knows nothing of the {what} any more")
    if invocation.ended:
        return Finding(Kind.OPERATION_KILLED, subject, f"the {what} was ended from outside, and nothing undone")
    if invocation.status == PAUSED:
        return _paused(subject, what, invocation, this)
    old = now_ms() - operation.started_at_ms > _FAILING_FOR.total_seconds() * 1000
    if invocation.status == "backing-off" and invocation.retries >= _FAILING_RETRIES and old:
        message = (
            f"the {what} fails again and again ({invocation.retries} tries): Restate's last_failure says why; cure "
            "that, or cancel it"
        )
        return Finding(Kind.OPERATION_FAILING, subject, message, curable=False)
    return None


def _paused(subject: str, what: str, invocation: Invocation, this: Round) -> Finding:
    """Leave a pause to who made it for a while; then the operation is cancelled, and undone in order."""
    if invocation.modified_at_ms < this.quiet_since():
        return Finding(Kind.OPERATION_PAUSED, subject, f"the {what} was paused and forgotten: it is cancelled")
    message = f"the {what} is paused: resume or cancel it"
    return Finding(Kind.OPERATION_PAUSED, subject, message, curable=False)


def _described(operation: Unfinished) -> str:
    what = operation.kind.value.replace("_", " ")
    return f"{what} of {operation.deployment_id}" if operation.deployment_id else what


async def _let_go(this: Round, operation_id: str) -> None:
    """Cancel a paused invocation; it undoes itself."""
    restate = this.runtime.restate
    await this.step("cancel paused operation", type(None), lambda: restate.cancel_paused(operation_id))


async def _settle(this: Round, operation: Unfinished) -> Settled:
    async def work(conn: AsyncConnection) -> Settled:
        return await settle(conn, operation, this.runtime.options)

    async def act() -> Settled:
        settled = await this.runtime.database.transact(work)
        if settled.done:
            log.warning("settled a dead operation", dead=operation.operation_id, kind=operation.kind.value)
        return settled

    return await this.step("settle operation", Settled, act)
