"""`hydra-deploy start`: a deployment that was put to rest runs again."""

import json
from functools import partial
from typing import Annotated

import typer
from hydra.v1 import deploy_pb2
from rich.text import Text

from service.cli import interrupt, terminal
from service.cli.attendance import attend
from service.cli.connection import connected
from service.cli.options import AsJson, Config, Grpc, settings_from
from service.cli.phases import regions_note
from service.cli.server import client_of
from service.config import Settings
from service.database import deployments, overview
from service.database.deployments import Subject
from service.domain.deployment import DesiredState
from service.routing.preconditions import check_can_serve


def start(
    *,
    deployment: Annotated[str, typer.Argument(metavar="DEPLOYMENT", help="The deployment's id.", show_default=False)],
    config: Config = None,
    grpc: Grpc = "",
    as_json: AsJson = False,
) -> None:
    """Set a deployment running that was ready and was put to rest, over gRPC, and wait until it is healthy.

    Such as a preview that a sweep has stopped. Its host names lead to it as before; no traffic moves. One that runs is
    left as it is. One that does not become healthy rests again: exit code 1.
    """
    settings = settings_from(config)
    target, woken = interrupt.run(_start(settings, grpc, deployment, as_json=as_json))
    if as_json:
        print(json.dumps({"deployment_id": target.deployment_id, "woken": woken}, indent=2))
    else:
        said = "runs again" if woken else "runs already"
        terminal.console().print(Text(f"{target.deployment_id} {said}", "green"), soft_wrap=True)


async def _start(settings: Settings, address: str, deployment_id: str, *, as_json: bool) -> tuple[Subject, bool]:
    """Deploy it again: what is ready and rests is woken by that, whatever the source says. Raises HydraError."""
    async with connected(settings) as database:
        target = await database.read(partial(deployments.subject, deployment_id=deployment_id))
        check_can_serve(target)
        image = deploy_pb2.DockerImage(image=target.image or "")
        request = deploy_pb2.DeployRequest(deployment_id=deployment_id, docker_image=image)

        async def look() -> str:
            seen = await database.read(partial(overview.progress, deployment_id=deployment_id))
            return f"waiting for {deployment_id}: {regions_note(seen.regions)}"

        async with client_of(settings, address) as client:
            await attend(terminal.console(errors=as_json), client.deploy(request), look)
        return target, target.desired_state is not DesiredState.RUNNING
