"""`hydra-deploy deploy`: a new deployment, deployed over gRPC and shown phase by phase."""

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import typer
from grpc import StatusCode
from rich.console import Console

from service.cli import interrupt, report, terminal
from service.cli.connection import connected
from service.cli.options import Config, ConfigPath, Grpc, Project, Workspace, settings_from
from service.cli.program import command_line
from service.cli.rollout import CALLER, Rollout
from service.config import Settings
from service.database import places
from service.database.places import Wanted
from service.dev.world import DeploymentSpec, create_deployment
from service.domain.image import validate_image
from service.rpc.call import Mode
from service.rpc.client import CallFailed, DeployClient, target_of


@dataclass(frozen=True)
class _Order:
    """What is to be deployed where, and how to tell of it."""

    wanted: Wanted
    image: str
    spec: DeploymentSpec
    config: ConfigPath
    wait: bool
    as_json: bool

    def status_command(self, deployment_id: str) -> str:
        """Write the command that looks at the deployment later."""
        return command_line("status", deployment_id, *(("--config", self.config) if self.config else ()))


def deploy(  # noqa: PLR0913 - one per option
    *,
    app: Annotated[str, typer.Option(help="The app, by slug or id.", show_default=False)],
    env: Annotated[str, typer.Option(help="The environment, by slug or id.", show_default=False)],
    image: Annotated[
        str, typer.Option(help="The image, such as registry.example.com/acme/shop:1.0.", show_default=False)
    ],
    config: Config = None,
    project: Project = "",
    workspace: Workspace = "",
    branch: Annotated[str, typer.Option(help="The git branch that the image was built from.")] = "",
    commit: Annotated[str, typer.Option(help="The git commit that the image was built from.")] = "",
    grpc: Grpc = "",
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Return once the deploy is accepted.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what `status --json` prints, at the end; the phases go to stderr.")
    ] = False,
) -> None:
    """Create a deployment as the control API would, deploy it over gRPC, and show its phases.

    Exit code 0 when it is ready, or accepted with --no-wait; 1 when it failed, with the error's message and reason.
    Ctrl-C only stops watching: the deploy goes on.
    """
    settings = settings_from(config)
    validate_image(image)
    spec = DeploymentSpec(git_branch=branch or None, git_commit_sha=commit or None)
    wanted = Wanted(app=app, environment=env, project=project, workspace=workspace)
    order = _Order(wanted, image, spec, config, not no_wait, as_json)
    interrupt.run(_deploy(settings, grpc or target_of(settings.grpc.listen), order))


async def _deploy(settings: Settings, address: str, order: _Order) -> None:
    console = terminal.console(errors=order.as_json)
    async with connected(settings) as database, DeployClient(address, CALLER) as client:
        place = await database.read(partial(places.find, wanted=order.wanted))
        await client.check()  # before a row is written that nobody deploys
        deployment_id = await create_deployment(database, place.app_id, place.environment_id, order.spec)
        rollout = Rollout(database, client, deployment_id, order.image)
        console.print(f"deploying {order.image} to {place.path}, {place.environment}", soft_wrap=True)
        console.print(f"deployment {deployment_id}\n", soft_wrap=True)
        try:
            await (_watch(rollout, console, order) if order.wait else _submit(rollout, console, order))
        finally:
            if order.as_json:
                print(report.document(await rollout.overview()))


async def _submit(rollout: Rollout, console: Console, order: _Order) -> None:
    await rollout.client.deploy(rollout.request, Mode.SUBMIT)
    console.print(f"accepted; look at it with\n  {order.status_command(rollout.deployment_id)}", soft_wrap=True)


async def _watch(rollout: Rollout, console: Console, order: _Order) -> None:
    try:
        await rollout.run(console)
    except (asyncio.CancelledError, CallFailed) as error:
        if isinstance(error, asyncio.CancelledError) or error.code is StatusCode.UNAVAILABLE:
            state = "the deploy goes on" if rollout.accepted else "the deploy may not have been accepted"
            console.print(
                f"\n{state}; look at it with\n  {order.status_command(rollout.deployment_id)}", soft_wrap=True
            )
        raise
    seen = await rollout.overview()
    console.print(f"\n{seen.status}{report.took(seen.operation)}", style="bold green", soft_wrap=True)
    console.print(report.urls(seen.routes))
