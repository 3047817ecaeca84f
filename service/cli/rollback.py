"""`hydra-deploy rollback`: traffic goes back to a deployment that was live before."""

from functools import partial
from typing import Annotated

import typer
from hydra.v1 import deploy_pb2
from sqlalchemy.ext.asyncio import AsyncConnection

from service.cli import interrupt
from service.cli.connection import connected
from service.cli.options import AsJson, Config, DryRun, Grpc, settings_from
from service.cli.server import client_of
from service.cli.takeover import Errand, Manner, run
from service.config import Settings
from service.contract import validate_rollback
from service.database import apps, deployments
from service.errors import FailedPrecondition
from service.routing.plan import plan_rollback
from service.routing.switch import Kind


def rollback(  # noqa: PLR0913 - one per option
    *,
    to: Annotated[str, typer.Option(metavar="DEPLOYMENT", help="The deployment to go back to.", show_default=False)],
    source: Annotated[
        str,
        typer.Option("--from", metavar="DEPLOYMENT", help="The deployment that is live; found out without it."),
    ] = "",
    config: Config = None,
    grpc: Grpc = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Move the live deployment's traffic back to an earlier one, over gRPC.

    A deployment at rest is woken, and healthy before any route moves. New deploys stay unrouted until the rollback is
    confirmed, or another deployment promoted, with `promote`. Ctrl-C only stops watching: the rollback goes on.
    """
    settings = settings_from(config)
    client = partial(client_of, settings, grpc)
    manner = Manner(client, settings.deploy.standby_delay, config, dry_run, as_json)
    interrupt.run(_rollback(settings, source, to, manner))


async def _rollback(settings: Settings, source_id: str, target_id: str, manner: Manner) -> None:
    async with connected(settings) as database:
        source_id = source_id or await database.read(partial(_live, target_id=target_id))
        request = deploy_pb2.RollbackRequest(source_deployment_id=source_id, target_deployment_id=target_id)
        validate_rollback(request)
        errand = Errand(
            Kind.ROLLBACK,
            target_id,
            plan=partial(plan_rollback, source_id=source_id, target_id=target_id),
            call=lambda client, accepted: client.rollback(request, accepted),
        )
        await run(database, errand, manner)


async def _live(conn: AsyncConnection, target_id: str) -> str:
    """Read what is live in the target's app. Raises NotFound, and FailedPrecondition where that is nothing else."""
    target = await deployments.subject(conn, target_id)
    live_id = (await apps.find(conn, target.app_id)).current_deployment_id
    if live_id is None:
        raise FailedPrecondition(
            f"nothing is live in the app {target.app_slug!r}: there is nothing to roll back from", reason="NOTHING_LIVE"
        )
    if live_id == target_id:
        raise FailedPrecondition(f"the deployment {target_id!r} is live already", reason="ALREADY_LIVE")
    return live_id
