"""What a switch moves and who is live afterwards: one rule per kind of operation (02 · 1.7, 2 and 3).

Every rule runs under the app's lock and decides from what it reads there.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from sqlalchemy.ext.asyncio import AsyncConnection

from service.database import deployments, routes, switches
from service.database.apps import App
from service.database.deployments import Subject
from service.database.routes import Route
from service.database.switches import Move
from service.domain.deployment import PREVIEW, PRODUCTION, Status
from service.domain.hostname import Sticky
from service.errors import FailedPrecondition
from service.routing.preconditions import check_can_serve, check_promotable, check_source_is_live

_FOLLOW_THE_LIVE_ONE = frozenset({Sticky.ENVIRONMENT, Sticky.LIVE})


@dataclass(frozen=True)
class Decision:
    """The routes that move, the app's state afterwards, and the deployments that lose their place.

    `held_back` never got one: a rollback was in force, which ends now.
    """

    moved: list[Move]
    after: App
    superseded: list[str]
    held_back: list[str] = field(default_factory=list)


async def for_deploy(conn: AsyncConnection, app: App, subject: Subject) -> Decision:
    """Give a new deployment its traffic, save where a rollback or a newer deployment holds it.

    One that a newer deployment has overtaken loses its place at once. One that a rollback holds back waits for the end
    of that. A rollback to what is gone has ended.
    """
    production = subject.environment_slug == PRODUCTION
    live = await deployments.placed(conn, app.current_deployment_id)
    held = app.is_rolled_back and live is not None and live.environment_id == subject.environment_id
    kinds = {Sticky.BRANCH}
    if not held:
        kinds |= _FOLLOW_THE_LIVE_ONE if production else {Sticky.ENVIRONMENT}
    candidates = await routes.of_environment(conn, subject.environment_id, kinds)
    moved = [_move(route, subject) for route in candidates if _yields_to(subject)(route)]
    if not production:
        return Decision(moved, app, await _without_names(conn, moved, subject))
    if app.is_rolled_back and live is not None:
        return Decision(moved, app, [])
    if live is not None and _is_later(live, subject):
        return Decision(moved, app, [subject.deployment_id])
    after = replace(app, current_deployment_id=subject.deployment_id, is_rolled_back=False)
    return Decision(moved, after, await _superseded(conn, app, subject), await _held_back(conn, app, subject))


async def for_rollback(conn: AsyncConnection, app: App, subject: Subject, source_id: str) -> Decision:
    """Move the live deployment's traffic back to an earlier one; the source keeps running until that is confirmed.

    Raises FailedPrecondition where the source is not live (any more) or no route leads to the environment.
    """
    check_source_is_live(app, source_id)
    check_can_serve(subject)
    moved = await _all_to(conn, subject)
    after = replace(app, current_deployment_id=subject.deployment_id, is_rolled_back=True)
    return Decision(moved, after, [])


async def for_promote(conn: AsyncConnection, app: App, subject: Subject) -> Decision:
    """Make a deployment live for good: confirm the rollback to it, or move the live one's traffic to it.

    What a rollback left running, or held back, loses its place either way. Raises FailedPrecondition where the app
    has nothing live, the deployment is live already or of another environment, or no route leads to the environment.
    """
    live = await deployments.placed(conn, app.current_deployment_id)
    check_promotable(app, live, subject)
    check_can_serve(subject)
    superseded, held_back = await _superseded(conn, app, subject), await _held_back(conn, app, subject)
    after = replace(app, current_deployment_id=subject.deployment_id, is_rolled_back=False)
    if app.current_deployment_id == subject.deployment_id:
        return Decision([], after, superseded, held_back)
    return Decision(await _all_to(conn, subject), after, superseded, held_back)


async def _all_to(conn: AsyncConnection, subject: Subject) -> list[Move]:
    """Move every route that follows the live deployment; none at all is a fault of the installation."""
    found = await routes.of_environment(conn, subject.environment_id, _FOLLOW_THE_LIVE_ONE)
    ours = [route for route in found if route.app_id == subject.app_id]
    if not ours:
        raise FailedPrecondition(
            f"no route follows the live deployment in environment {subject.environment_slug!r}: deploy to it first",
            reason="NO_ROUTES",
        )
    return [_move(route, subject) for route in ours if route.deployment_id != subject.deployment_id]


def _yields_to(subject: Subject) -> Callable[[Route], bool]:
    """Tell which routes of the environment move to a new deployment: not its own, not a later one's."""

    def yields(route: Route) -> bool:
        owner = route.owner
        if route.app_id != subject.app_id or route.deployment_id == subject.deployment_id:
            return False
        if route.sticky is Sticky.BRANCH and not _same_branch(route, subject):
            return False
        if owner.created_at is None or owner.status == Status.FAILED or owner.environment_id != subject.environment_id:
            return True
        return (owner.created_at, route.deployment_id) < (subject.created_at, subject.deployment_id)

    return yields


def _same_branch(route: Route, subject: Subject) -> bool:
    owner = route.owner
    return owner.git_branch is not None and (owner.git_branch, owner.fork_repository_full_name) == (
        subject.git_branch,
        subject.fork_repository_full_name,
    )


def _is_later(live: deployments.Placed, subject: Subject) -> bool:
    return (live.created_at, live.deployment_id) > (subject.created_at, subject.deployment_id)


async def _superseded(conn: AsyncConnection, before: App, subject: Subject) -> list[str]:
    """List what loses its place for good: what was live, and what open rollbacks have left running."""
    found = dict.fromkeys([before.current_deployment_id, *await switches.rolled_back_from(conn, before)])
    return [each for each in found if each is not None and each != subject.deployment_id]


async def _held_back(conn: AsyncConnection, before: App, subject: Subject) -> list[str]:
    """List what open rollbacks have kept from getting a place."""
    had_one = {before.current_deployment_id, subject.deployment_id, *await switches.rolled_back_from(conn, before)}
    return [each for each in await switches.unplaced(conn, before, subject.environment_id) if each not in had_one]


async def _without_names(conn: AsyncConnection, moved: list[Move], subject: Subject) -> list[str]:
    """List the deployments of a lasting environment that have no name that follows anything, once these moves are done.

    Those that lost one, and the new one where a newer has it already.
    Previews run on until nobody calls them any more: their commit's name is what a reviewer was given.
    """
    if subject.environment_slug == PREVIEW:
        return []
    asked = {move.previous_deployment_id for move in moved} | (set() if moved else {subject.deployment_id})
    kept = await routes.followed(conn, asked, besides=[move.route_id for move in moved])
    return sorted(asked - kept)


def _move(route: Route, subject: Subject) -> Move:
    return Move(route.route_id, route.fqdn, route.deployment_id, subject.deployment_id)
