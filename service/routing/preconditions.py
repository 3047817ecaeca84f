"""What must hold before traffic may move to a deployment that was ready before (02 · 2 and 3, 06 · T6).

Checked twice: before anything is done, so that a refusal costs nothing, and again under the app's lock.
"""

from collections.abc import Collection

from service.database.apps import App
from service.database.deployments import Placed, Subject
from service.domain.deployment import PRODUCTION, DesiredState, Status
from service.errors import FailedPrecondition


def check_same_place(source: Subject, target: Subject) -> None:
    """Raise FailedPrecondition unless both are of one project, app and environment."""
    for what in ("project", "app", "environment"):
        if getattr(source, f"{what}_id") != getattr(target, f"{what}_id"):
            raise FailedPrecondition(
                f"the deployments {source.deployment_id!r} and {target.deployment_id!r} belong to different {what}s: "
                "choose a target beside the source",
                reason=f"OTHER_{what.upper()}",
            )


def check_source_is_live(app: App, source_id: str) -> None:
    """Raise FailedPrecondition unless the source is the app's live deployment."""
    if app.current_deployment_id != source_id:
        live = repr(app.current_deployment_id) if app.current_deployment_id else "nothing"
        raise FailedPrecondition(
            f"the deployment {source_id!r} is not live, {live} is: roll back from the live one",
            reason="SOURCE_NOT_LIVE",
        )


def check_can_serve(target: Subject) -> None:
    """Raise FailedPrecondition unless the deployment once became ready and can run again."""
    if target.status != Status.READY:
        raise FailedPrecondition(
            f"the deployment {target.deployment_id!r} is {target.status}: choose one that is ready", reason="NOT_READY"
        )
    if target.desired_state == DesiredState.ARCHIVED or not target.image:
        raise FailedPrecondition(
            f"the deployment {target.deployment_id!r} is archived or has no image: deploy a new one", reason="ARCHIVED"
        )


def check_has_topology(deployment_id: str, regions: Collection[object]) -> None:
    """Raise FailedPrecondition where the deployment has no region to be woken in."""
    if not regions:
        raise FailedPrecondition(
            f"the deployment {deployment_id!r} has no region to run in: deploy a new one", reason="NO_TOPOLOGY"
        )


def check_promotable(app: App, live: Placed | None, target: Subject) -> None:
    """Raise FailedPrecondition unless the target may take over from the live deployment, or confirm a rollback.

    Where the live deployment's row is gone (None), any of production may take over.
    """
    if live is None and (app.current_deployment_id is None or target.environment_slug != PRODUCTION):
        raise FailedPrecondition(
            "the app has no live deployment to take over from: deploy to production first", reason="NOTHING_LIVE"
        )
    if app.current_deployment_id == target.deployment_id and not app.is_rolled_back:
        raise FailedPrecondition(f"the deployment {target.deployment_id!r} is live already", reason="ALREADY_LIVE")
    if live is not None and live.environment_id != target.environment_id:
        raise FailedPrecondition(
            f"the deployment {target.deployment_id!r} is not of the live deployment's environment: "
            "promote one that is, or deploy it there",
            reason="OTHER_ENVIRONMENT",
        )
