"""The one transaction that moves traffic (02 · 1.7, 06 · decision 2)."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from sqlalchemy.ext.asyncio import AsyncConnection

from service.database import apps, attempts, deployments, operations, routes, steps, switches
from service.database.apps import App
from service.database.attempts import AttemptState
from service.database.deployments import Subject
from service.database.operations import OperationState
from service.database.routes import Route
from service.database.switches import Move, Switch
from service.domain.deployment import PRODUCTION, DesiredState, Status
from service.domain.hostname import Sticky
from service.errors import FailedPrecondition


@dataclass(frozen=True)
class Switched:
    """What a switch did; the same for every repeat of one operation."""

    moved_route_ids: list[str]
    previous_deployment_id: str
    live: bool
    superseded_deployment_ids: list[str]


@dataclass(frozen=True)
class Order:
    """The operation that asks for traffic, the app it asks for (the object's key), and the deployment to get it."""

    operation_id: str
    app_id: str
    deployment_id: str


async def switch_for_deploy(conn: AsyncConnection, order: Order, now_ms: int) -> Switched:
    """Give a deployment that has just become healthy its traffic and set it `ready`.

    Locks the app and reads every condition again under the lock. Raises NotFound, or FailedPrecondition where the
    deployment is another app's, no longer runs, or is worked on by a newer attempt.
    """
    app = await apps.lock(conn, order.app_id)
    if (stored := await find_switch(conn, order)) is not None:
        return _repeat(stored)
    subject = await lock_target(conn, order)
    if not await attempts.holds(conn, order.deployment_id, order.operation_id):
        raise FailedPrecondition("a newer attempt at this deployment has begun", reason="SUPERSEDED")
    after, moved = await _decide(conn, app, subject)
    switched = _result(app, after, subject, moved)
    await routes.point(conn, {move.route_id: subject.deployment_id for move in moved}, now_ms)
    if after != app:
        await apps.set_live(conn, after, now_ms)
    done = Switch(
        order.operation_id, "deploy", subject.environment_id, subject.deployment_id, app, after, vars(switched)
    )
    await switches.record(conn, done, moved, now_ms)
    await steps.finish(conn, subject.deployment_id, now_ms)
    await attempts.end(conn, subject.deployment_id, order.operation_id, AttemptState.SUCCEEDED, now_ms)
    await operations.end(conn, order.operation_id, OperationState.SUCCEEDED, now_ms)
    return switched


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
            f"the deployment {subject.deployment_id!r} was set to {subject.desired_state} meanwhile: deploy it again",
            reason="NOT_RUNNING",
        )
    return subject


async def _decide(conn: AsyncConnection, app: App, subject: Subject) -> tuple[App, list[Move]]:
    """Choose the routes that move and the app's state afterwards; both stay where a rollback or a newer deploy holds them."""
    production = subject.environment_slug == PRODUCTION
    live = await deployments.placed(conn, app.current_deployment_id)
    held = app.is_rolled_back and live is not None and live.environment_id == subject.environment_id
    kinds = {Sticky.BRANCH}
    if not held:
        kinds |= {Sticky.ENVIRONMENT, Sticky.LIVE} if production else {Sticky.ENVIRONMENT}
    candidates = await routes.of_environment(conn, subject.environment_id, kinds)
    moved = [_move(route, subject) for route in candidates if _moves(subject)(route)]
    takes_over = production and not app.is_rolled_back and not (live is not None and _is_later(live, subject))
    after = replace(app, current_deployment_id=subject.deployment_id, is_rolled_back=False) if takes_over else app
    return after, moved


def _moves(subject: Subject) -> Callable[[Route], bool]:
    """Tell which routes of the environment move to the subject: not its own, not a later deployment's."""

    def moves(route: Route) -> bool:
        owner = route.owner
        if route.app_id != subject.app_id or route.deployment_id == subject.deployment_id:
            return False
        if route.sticky is Sticky.BRANCH and not _same_branch(route, subject):
            return False
        if owner.created_at is None or owner.status == Status.FAILED or owner.environment_id != subject.environment_id:
            return True
        return (owner.created_at, route.deployment_id) < (subject.created_at, subject.deployment_id)

    return moves


def _same_branch(route: Route, subject: Subject) -> bool:
    owner = route.owner
    return owner.git_branch is not None and (owner.git_branch, owner.fork_repository_full_name) == (
        subject.git_branch,
        subject.fork_repository_full_name,
    )


def _is_later(live: deployments.Placed, subject: Subject) -> bool:
    return (live.created_at, live.deployment_id) > (subject.created_at, subject.deployment_id)


def _move(route: Route, subject: Subject) -> Move:
    return Move(route.route_id, route.fqdn, route.deployment_id, subject.deployment_id)


def _result(before: App, after: App, subject: Subject, moved: list[Move]) -> Switched:
    previous = before.current_deployment_id or ""
    replaced = after != before and previous not in ("", subject.deployment_id)
    return Switched(
        moved_route_ids=[move.route_id for move in moved],
        previous_deployment_id=previous if replaced else "",
        live=after.current_deployment_id == subject.deployment_id,
        superseded_deployment_ids=[previous] if replaced else [],
    )
