"""Undoing an operation that failed, was cancelled or was killed: one transaction, the same for whoever makes it.

The workflow makes it at its end, the reconciler for one that is dead. Traffic leaves a deployment in the transaction
that stops it: parts that could give up one by one might leave traffic on what the next part stops.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncConnection

from service.clock import now_ms
from service.counters import Counters
from service.database import apps, attempts, builds, deployments, history, operations, steps, switches, topologies
from service.database.apps import App
from service.database.attempts import Attempt, AttemptState
from service.database.operations import OperationKind, OperationState
from service.domain.deployment import DesiredState, TopologyStatus
from service.durable.journal import UNDO_BUDGET, Journal
from service.errors import Cancelled, HydraError
from service.routing.revert import revert
from service.routing.standing import is_live
from service.routing.switch import Kind, Order
from service.workflow import record
from service.workflow.runtime import Options, Runtime

_SWITCHES = {
    OperationKind.DEPLOY: Kind.DEPLOY,
    OperationKind.ROLLBACK: Kind.ROLLBACK,
    OperationKind.PROMOTE: Kind.PROMOTE,
}
_STEPS = {**{kind: f"undo {kind.value}" for kind in _SWITCHES}, OperationKind.DESIRED_STATE: "undo start"}


@dataclass
class Operation:
    """An operation as a workflow has it in hand; `about` holds ids for its record, should it have none yet.

    `begun`: its first step has let it go on, so that what its record says is its own doing, not that of an earlier
    run under the same id.
    """

    operation_id: str
    kind: OperationKind
    deployment_id: str
    about: Mapping[str, str] = field(default_factory=dict)
    begun: bool = False


@dataclass(frozen=True)
class Undone:
    """What an undo did: `done` where it ended the operation's record, `failed` where the deployment is failed by it.

    `rest_after_ms`: the deployment has no place and is to rest after so long; None for not at all.
    """

    done: bool = False
    failed: bool = False
    rest_after_ms: int | None = None


async def undo_operation(journal: Journal, runtime: Runtime, operation: Operation, cause: HydraError) -> Undone:
    """Undo this invocation's operation, in one patient step; one that was refused at once is recorded."""

    async def work(conn: AsyncConnection) -> Undone:
        if await operations.state(conn, operation.operation_id) is None:
            return await _end_unbegun(conn, journal, operation, cause)
        return await undo(conn, operation, cause, runtime.options)

    database = runtime.database
    return await Counters(journal, database).step(
        _STEPS[operation.kind], Undone, lambda: database.transact(work), UNDO_BUDGET
    )


async def undo(conn: AsyncConnection, operation: Operation, cause: HydraError, options: Options) -> Undone:
    """Undo an operation that has a record, and end that; nothing where an earlier run has ended it.

    Traffic goes back where it still is as this operation left it, and the operation can never switch again. What
    stays live is neither stopped nor failed. Raises Uncounted.
    """
    now = now_ms()
    app = await _lock_app(conn, operation.deployment_id)
    exists = await deployments.lock(conn, operation.deployment_id)
    attempt = await attempts.newest(conn, operation.deployment_id, lock=True)
    state = await operations.state(conn, operation.operation_id, lock=True)
    if state is None or (state.has_ended and not operation.begun):
        return Undone()
    stays = False
    # The switch of a deploy ends its record, and needs the claim, which ends here.
    may_have_switched = operation.kind is not OperationKind.DEPLOY or state.has_ended
    if app is not None and operation.kind in _SWITCHES and may_have_switched:
        order = Order(operation.operation_id, app.app_id, operation.deployment_id, _SWITCHES[operation.kind])
        stays = (await revert(conn, order, now)).stays
        app = await apps.find(conn, app.app_id)
    if app is not None and app.current_deployment_id == operation.deployment_id:
        stays = True
    failed, rest_after_ms = False, None
    if operation.kind is not OperationKind.DEPLOY:
        rest_after_ms = await _rest_after(conn, app, operation, options)
    elif exists and attempt is not None and attempt.operation_id == operation.operation_id:
        failed = await _fail(conn, operation.deployment_id, attempt, cause, stays=stays)
    await builds.abandon(conn, operation.operation_id, now)
    ended = OperationState.CANCELLED if isinstance(cause, Cancelled) else OperationState.FAILED
    await operations.end(conn, operation.operation_id, ended, now, failure=(cause.reason, cause.message))
    return Undone(done=True, failed=failed, rest_after_ms=rest_after_ms)


async def _lock_app(conn: AsyncConnection, deployment_id: str) -> App | None:
    app_id = await deployments.app_of(conn, deployment_id)
    return await apps.find_locked(conn, app_id) if app_id else None


async def _fail(conn: AsyncConnection, deployment_id: str, attempt: Attempt, cause: HydraError, *, stays: bool) -> bool:
    """Stop the deployment of this operation's attempt and set it `failed`, unless it stays live; tell whether it is so.

    A repeat comes to the same.
    """
    now = now_ms()
    if stays and attempt.state is AttemptState.RUNNING:
        await steps.leave_ready(conn, deployment_id, cause.message, now)
        await attempts.end(conn, deployment_id, attempt.operation_id, AttemptState.FAILED, now)
    if stays or attempt.state is AttemptState.FAILED:
        return not stays
    await _stop(conn, deployment_id, now)
    await steps.fail(conn, deployment_id, cause.message, now)
    await attempts.end(conn, deployment_id, attempt.operation_id, AttemptState.FAILED, now)
    return True


async def _stop(conn: AsyncConnection, deployment_id: str, now_ms: int) -> None:
    """Stop a deployment in its regions for good, in a way that the agents' stream and their resync both see at once."""
    existing = await topologies.existing(conn, deployment_id)
    running = [region_id for region_id, topology in existing.items() if topology.runs]
    if running:
        await topologies.set_status(conn, deployment_id, TopologyStatus.STOPPED, running, now_ms)
        await deployments.set_desired_state(conn, deployment_id, DesiredState.ARCHIVED, now_ms)


async def _rest_after(conn: AsyncConnection, app: App | None, operation: Operation, options: Options) -> int | None:
    """Say when the target of a takeover is to rest: at once if it was woken for this, later if it lost its place.

    Decided from what holds now: what made the operation fail may have given the target its place, or taken it. One that
    rests, as where no region could take it, is left: a stop that comes later might find that somebody has started it.
    """
    target_id = operation.deployment_id
    if app is None or await is_live(conn, app, target_id) or await switches.has_place(conn, app, target_id):
        return None
    if await operations.need(conn, target_id, besides=operation.operation_id):
        return None
    if not any(topology.runs for topology in (await topologies.existing(conn, target_id)).values()):
        return None
    if (await operations.detail(conn, operation.operation_id)).get("woken"):
        return 0
    if operation.kind not in _SWITCHES:
        return None
    rests_at = await switches.rests_at(conn, app, target_id, options.standby_delay_ms)
    replaced_at = None if rests_at is None else rests_at - options.standby_delay_ms
    is_started = replaced_at is not None and await history.set_running_at(conn, target_id) > replaced_at
    return None if replaced_at is None or is_started else options.standby_delay_ms


async def _end_unbegun(conn: AsyncConnection, journal: Journal, operation: Operation, cause: HydraError) -> Undone:
    """Record an operation that ends before it has begun; a deployment that only this would have deployed is failed."""
    about = {**operation.about, "deployment_id": operation.deployment_id}
    if operation.kind is not OperationKind.DEPLOY:
        await record.end_failed(conn, journal, operation.kind, about, cause)
        return Undone(done=True)
    app = await _lock_app(conn, operation.deployment_id)
    if not await deployments.lock(conn, operation.deployment_id):
        return Undone()
    if not await fail_unbegun(conn, app, operation.deployment_id, operation.operation_id, cause):
        return Undone()
    await record.end_failed(conn, journal, operation.kind, about, cause)
    return Undone(done=True, failed=True)


async def fail_unbegun(
    conn: AsyncConnection, app: App | None, deployment_id: str, operation_id: str, cause: HydraError
) -> bool:
    """Set a deployment `failed` that is under way, that nobody works on, and that is not live; tell whether it was so.

    The attempt counts: a later deploy is another. The caller holds the locks of app and deployment.
    """
    now = now_ms()
    status = await deployments.status(conn, deployment_id)
    newest = await attempts.newest(conn, deployment_id, lock=True)
    if status is None or status.is_terminal or (newest is not None and newest.state is AttemptState.RUNNING):
        return False
    if await is_live(conn, app, deployment_id):
        return False
    number = 1 if newest is None else newest.number + 1
    await attempts.claim(conn, deployment_id, Attempt(number, operation_id, AttemptState.FAILED), now)
    await steps.fail(conn, deployment_id, cause.message, now)
    return True
