"""The one transaction that moves traffic (02 · 1.7, 06 · decision 2)."""

from dataclasses import dataclass, field
from enum import StrEnum

from sqlalchemy.ext.asyncio import AsyncConnection

from service.database import apps, attempts, deployments, operations, routes, steps, switches
from service.database.apps import App
from service.database.attempts import AttemptState
from service.database.deployments import Subject
from service.database.operations import OperationState
from service.database.switches import Switch
from service.domain.deployment import DesiredState
from service.errors import FailedPrecondition
from service.routing import decisions
from service.routing.decisions import Decision


@dataclass(frozen=True)
class Switched:
    """What a switch did; the same for every repeat of one operation."""

    moved_route_ids: list[str]
    previous_deployment_id: str
    live: bool
    superseded_deployment_ids: list[str]
    held_back_deployment_ids: list[str] = field(default_factory=list)


class Kind(StrEnum):
    """Why traffic moves, as the record of switches spells it."""

    DEPLOY = "deploy"
    ROLLBACK = "rollback"
    PROMOTE = "promote"


@dataclass(frozen=True)
class Order:
    """What an operation asks for: traffic for a deployment, of the app that is the object's key.

    `source_id` is the deployment that a rollback leaves.
    """

    operation_id: str
    app_id: str
    deployment_id: str
    kind: Kind = Kind.DEPLOY
    source_id: str = ""


async def switch(conn: AsyncConnection, order: Order, now_ms: int) -> Switched:
    """Move the traffic and the live pointer, and end the operation; a repeat returns the first result.

    Locks the app and reads every condition again under the lock. Raises NotFound, or FailedPrecondition where the
    deployment is another app's, no longer runs, or what its kind of operation needs does not hold (`decisions`).
    """
    app = await apps.lock(conn, order.app_id)
    if (stored := await find_switch(conn, order)) is not None:
        return _repeat(stored)
    subject = await lock_target(conn, order)
    decision = await _decide(conn, app, subject, order)
    switched = _result(app, decision, subject)
    # The record is read newest first: under the app's lock no two switches of it have one time.
    at_ms = max(now_ms, await switches.last_switched_at(conn, app.app_id) + 1)
    await routes.point(conn, {move.route_id: subject.deployment_id for move in decision.moved}, at_ms)
    if decision.after != app:
        await apps.set_live(conn, decision.after, at_ms)
    done = Switch(
        order.operation_id,
        order.kind.value,
        subject.environment_id,
        subject.deployment_id,
        app,
        decision.after,
        vars(switched),
    )
    await switches.record(conn, done, decision.moved, at_ms)
    if order.kind is Kind.DEPLOY:
        await steps.finish(conn, subject.deployment_id, at_ms)
        await attempts.end(conn, subject.deployment_id, order.operation_id, AttemptState.SUCCEEDED, at_ms)
    if switched.previous_deployment_id:
        await operations.came_from(conn, order.operation_id, switched.previous_deployment_id)
    await operations.end(conn, order.operation_id, OperationState.SUCCEEDED, at_ms)
    return switched


async def _decide(conn: AsyncConnection, app: App, subject: Subject, order: Order) -> Decision:
    match order.kind:
        case Kind.DEPLOY:
            await attempts.require(conn, order.deployment_id, order.operation_id)
            return await decisions.for_deploy(conn, app, subject)
        case Kind.ROLLBACK:
            return await decisions.for_rollback(conn, app, subject, order.source_id)
        case Kind.PROMOTE:
            return await decisions.for_promote(conn, app, subject)


async def find_switch(conn: AsyncConnection, order: Order) -> Switch | None:
    """Read the operation's switch; the caller holds the app's lock. Raises FailedPrecondition for another one's."""
    stored = await switches.find(conn, order.operation_id)
    if stored is None or (stored.before.app_id, stored.deployment_id) == (order.app_id, order.deployment_id):
        return stored
    raise FailedPrecondition(
        f"the operation {order.operation_id!r} switched traffic of another app or to another deployment",
        reason="OTHER_SWITCH",
    )


def _repeat(stored: Switch) -> Switched:
    if stored.is_reverted:
        raise FailedPrecondition("this switch of traffic has been reverted", reason="SWITCH_REVERTED")
    return Switched(**stored.result)


async def lock_target(conn: AsyncConnection, order: Order) -> Subject:
    """Lock and read the deployment that is to get traffic, and check that it may: of this app, and running."""
    if not await deployments.lock(conn, order.deployment_id):
        raise deployments.deployment_not_found(order.deployment_id)
    subject = await deployments.subject(conn, order.deployment_id)
    if subject.app_id != order.app_id:
        raise FailedPrecondition(
            f"the deployment {subject.deployment_id!r} belongs to another app than {order.app_id!r}", reason="OTHER_APP"
        )
    if subject.desired_state != DesiredState.RUNNING:
        raise FailedPrecondition(
            f"the deployment {subject.deployment_id!r} was set to {subject.desired_state} meanwhile: deploy a new one",
            reason="NOT_RUNNING",
        )
    return subject


def _result(before: App, decision: Decision, subject: Subject) -> Switched:
    previous = before.current_deployment_id
    moved_on = decision.after.current_deployment_id != previous
    return Switched(
        moved_route_ids=[move.route_id for move in decision.moved],
        previous_deployment_id=previous or "" if moved_on else "",
        live=decision.after.current_deployment_id == subject.deployment_id,
        superseded_deployment_ids=decision.superseded,
        held_back_deployment_ids=decision.held_back,
    )
