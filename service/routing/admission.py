"""Whether a rollback or a promotion may begin: the checks of 02 · 2 and 3, in their order, on what is there now."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from service.database import apps, deployments
from service.database.apps import App
from service.database.deployments import Subject
from service.routing.preconditions import check_can_serve, check_promotable, check_same_place, check_source_is_live


@dataclass(frozen=True)
class Admitted:
    """The deployment that is to get traffic, and its app as it stands."""

    app: App
    target: Subject


async def admit_rollback(conn: AsyncConnection, source_id: str, target_id: str) -> Admitted:
    """Check that traffic may go back from the source to the target. Raises NotFound, FailedPrecondition."""
    source = await deployments.subject(conn, source_id)
    target = await deployments.subject(conn, target_id)
    check_same_place(source, target)
    app = await apps.find(conn, target.app_id)
    check_source_is_live(app, source.deployment_id)
    check_can_serve(target)
    return Admitted(app, target)


async def admit_promotion(conn: AsyncConnection, target_id: str) -> Admitted:
    """Check that the target may become live for good. Raises NotFound, FailedPrecondition."""
    target = await deployments.subject(conn, target_id)
    app = await apps.find(conn, target.app_id)
    check_can_serve(target)
    check_promotable(app, await deployments.placed(conn, app.current_deployment_id), target)
    return Admitted(app, target)
