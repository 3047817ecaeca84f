"""`hydra-deploy promote`: a deployment becomes live for good, or a rollback is confirmed."""

from functools import partial
from typing import Annotated

import typer
from hydra.v1 import deploy_pb2

from service.cli import interrupt
from service.cli.connection import connected
from service.cli.options import AsJson, Config, DryRun, Grpc, settings_from
from service.cli.server import client_of
from service.cli.takeover import Errand, Manner, run
from service.config import Settings
from service.contract import validate_promote
from service.routing.plan import plan_promotion
from service.routing.switch import Kind


def promote(
    *,
    deployment: Annotated[str, typer.Argument(metavar="DEPLOYMENT", help="The deployment's id.", show_default=False)],
    config: Config = None,
    grpc: Grpc = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Make a deployment live for good, over gRPC; one that was rolled back to is confirmed.

    What loses its place goes to standby after a while. Ctrl-C only stops watching: the promotion goes on.
    """
    settings = settings_from(config)
    client = partial(client_of, settings, grpc)
    manner = Manner(client, settings.deploy.standby_delay, config, dry_run, as_json)
    interrupt.run(_promote(settings, deployment, manner))


async def _promote(settings: Settings, target_id: str, manner: Manner) -> None:
    request = deploy_pb2.PromoteRequest(target_deployment_id=target_id)
    validate_promote(request)
    errand = Errand(
        Kind.PROMOTE,
        target_id,
        plan=partial(plan_promotion, target_id=target_id),
        call=lambda client, accepted: client.promote(request, accepted),
    )
    async with connected(settings) as database:
        await run(database, errand, manner)
