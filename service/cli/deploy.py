"""`hydra-deploy deploy`: a new deployment of an image or a commit, deployed over gRPC and shown phase by phase."""

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import typer
from grpc import StatusCode
from rich.console import Console

from service.build.builder import BUILD_FAILED
from service.cli import interrupt, report, terminal
from service.cli.connection import connected
from service.cli.options import (
    Branch,
    Commit,
    Config,
    ConfigPath,
    Context,
    Dockerfile,
    Grpc,
    Image,
    Installation,
    Project,
    PullRequest,
    Repository,
    Workspace,
    settings_from,
)
from service.cli.program import command_line
from service.cli.rollout import Rollout
from service.cli.server import client_of
from service.cli.source import Source, SourceOptions, digest_of
from service.config import Settings
from service.database import places
from service.database.places import Wanted
from service.dev.world import create_deployment
from service.rpc.call import Mode
from service.rpc.failure import CallFailed


@dataclass(frozen=True)
class _Order:
    """What is to be deployed where, and how to tell of it; `has_logs` says that what builds write is kept."""

    wanted: Wanted
    source: Source
    config: ConfigPath
    wait: bool
    as_json: bool
    has_logs: bool

    def command(self, name: str, deployment_id: str) -> str:
        """Write the command, `status` or `logs`, that looks at the deployment later."""
        return command_line(name, deployment_id, *(("--config", self.config) if self.config else ()))


def deploy(  # noqa: PLR0913 - one per option
    *,
    app: Annotated[str, typer.Option(help="The app, by slug or id.", show_default=False)],
    env: Annotated[str, typer.Option(help="The environment, by slug or id.", show_default=False)],
    image: Image = "",
    repository: Repository = "",
    branch: Branch = "",
    commit: Commit = "",
    context: Context = "",
    dockerfile: Dockerfile = "",
    pull_request: PullRequest = 0,
    installation: Installation = 0,
    config: Config = None,
    project: Project = "",
    workspace: Workspace = "",
    grpc: Grpc = "",
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Return once the deploy is accepted.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what `status --json` prints, at the end; the phases go to stderr.")
    ] = False,
) -> None:
    """Create a deployment as the control API would, deploy it over gRPC, and show its phases.

    Takes an image that exists, or builds one from a git repository: a branch's head, a commit or a pull request.

    Exit code 0 when it is ready, or accepted with --no-wait; 1 when it failed, with the error's message and reason.
    Ctrl-C only stops watching: the deploy goes on.
    """
    settings = settings_from(config)
    given = SourceOptions(image, repository, branch, commit, context, dockerfile, pull_request, installation)
    wanted = Wanted(app=app, environment=env, project=project, workspace=workspace)
    order = _Order(
        wanted, given.source(), config, not no_wait, as_json, bool(settings.clickhouse.url.get_secret_value())
    )
    interrupt.run(_deploy(settings, grpc, order))


async def _deploy(settings: Settings, address: str, order: _Order) -> None:
    console = terminal.console(errors=order.as_json)
    async with connected(settings) as database, client_of(settings, address) as client:
        place = await database.read(partial(places.find, wanted=order.wanted))
        await client.check()  # before a row is written that nobody deploys
        deployment_id = await create_deployment(database, place.app_id, place.environment_id, order.source.spec)
        rollout = Rollout(database, client, deployment_id, order.source)
        console.print(f"deploying {order.source.label} to {place.path}, {place.environment}", soft_wrap=True)
        console.print(f"deployment {deployment_id}\n", soft_wrap=True)
        try:
            await (_watch(rollout, console, order) if order.wait else _submit(rollout, console, order))
        finally:
            if order.as_json:
                print(report.document(await rollout.overview()))


async def _submit(rollout: Rollout, console: Console, order: _Order) -> None:
    await rollout.client.deploy(rollout.request, Mode.SUBMIT)
    console.print(f"accepted; look at it with\n  {order.command('status', rollout.deployment_id)}", soft_wrap=True)


async def _watch(rollout: Rollout, console: Console, order: _Order) -> None:
    try:
        await rollout.run(console)
    except (asyncio.CancelledError, CallFailed) as error:
        if advice := _advice(error, rollout, order):
            console.print(f"\n{advice}", soft_wrap=True)
        raise
    seen = await rollout.overview()
    console.print(f"\n{seen.status}{report.took(seen.operation)}", style="bold green", soft_wrap=True)
    if digest := digest_of(seen):
        console.print(f"  {seen.image}  {digest}", soft_wrap=True)
    console.print(report.urls(seen.routes))


def _advice(error: BaseException, rollout: Rollout, order: _Order) -> str:
    """Say where to look on after an end without an outcome, or with one that the build's log explains."""
    if isinstance(error, CallFailed) and error.reason == BUILD_FAILED and order.has_logs:
        return f"see what the build wrote with\n  {order.command('logs', rollout.deployment_id)}"
    if isinstance(error, CallFailed) and error.code is not StatusCode.UNAVAILABLE:
        return ""
    state = "the deploy goes on" if rollout.accepted else "the deploy may not have been accepted"
    return f"{state}; look at it with\n  {order.command('status', rollout.deployment_id)}"
