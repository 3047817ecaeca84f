"""What must go on running: nobody stops it, fails it or archives it. Asked under the app's lock."""

from sqlalchemy.ext.asyncio import AsyncConnection

from service.database import operations, routes, switches
from service.database.apps import App
from service.errors import FailedPrecondition


async def is_live(conn: AsyncConnection, app: App | None, deployment_id: str) -> bool:
    """Tell whether live traffic leads to a deployment: by its app's pointer, or by a route that follows what is live.

    Of an app that is gone (None) nothing is live.
    """
    if app is None:
        return False
    return app.current_deployment_id == deployment_id or await routes.serve_live_traffic(conn, deployment_id)


def deployment_is_live(deployment_id: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"the deployment {deployment_id!r} is live: move its traffic away first", reason="DEPLOYMENT_IS_LIVE"
    )


async def check_may_rest(conn: AsyncConnection, app: App, deployment_id: str, asked_by: str) -> None:
    """Raise FailedPrecondition where a deployment must go on running; `asked_by` is the operation that stops it."""
    if await is_live(conn, app, deployment_id):
        raise deployment_is_live(deployment_id)
    if await switches.has_place(conn, app, deployment_id):
        raise FailedPrecondition(
            f"the deployment {deployment_id!r} is what a rollback came from: confirm the rollback, or promote another",
            reason="ROLLBACK_OPEN",
        )
    if await operations.need(conn, deployment_id, besides=asked_by):
        raise FailedPrecondition(
            f"a rollback or promotion to the deployment {deployment_id!r}, or its start, runs: wait for its end",
            reason="OPERATION_RUNNING",
        )
