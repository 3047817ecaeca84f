"""The acts of the demo, each done over gRPC and told in a few lines. Deployments have letters in it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from time import monotonic

from hydra.v1 import deploy_pb2
from rich.console import Console
from rich.text import Text

from service.cli import history as turns
from service.cli import report, terminal
from service.cli.build_story import build
from service.cli.changes import changes_table
from service.cli.outcome import RouteMove, moves
from service.cli.rollout import Rollout
from service.cli.sandbox import IMAGE, Sandbox, done
from service.cli.source import from_git
from service.cli.sweep_story import sweep
from service.config import DeploySettings
from service.config.values import format_duration
from service.database import apps, history, switches
from service.database.apps import App
from service.database.overview import Overview, overview
from service.dev import snapshot
from service.dev.snapshot import Snapshot
from service.dev.world import DeploymentSpec, create_deployment
from service.domain.deployment import PRODUCTION, DesiredState
from service.errors import HydraError
from service.rpc.client import DeployClient

_USUAL_DELAY = format_duration(DeploySettings().standby_delay)
_BRANCH = "main"
_WITHIN_SECONDS = 30
_LOOK_SECONDS = 0.05


class Story:
    """The acts, in the order in which they are called."""

    def __init__(self, console: Console, box: Sandbox, client: DeployClient) -> None:
        self.console = console
        self._box = box
        self._database = box.stack.database
        self._client = client
        self._ids: dict[str, str] = {}
        self._acts = 0
        self._before: Snapshot = {}

    async def begin(self) -> None:
        """Remember how the tables are before anything happens."""
        self._before = await self._database.read(snapshot.take)

    def heading(self, title: str, more: str = "") -> None:
        """Begin the next act."""
        self._acts += 1
        self.console.print(Text(f"\n{self._acts}. {title}", "bold").append(more, "dim"), soft_wrap=True)

    async def deploy_first(self, letter: str) -> None:
        """Deploy the first version to production: from git where the stack can build, else as the next ones."""
        servers = self._box.stack.build_servers
        if servers is None:
            await self.deploy(letter)
            return
        sample = await servers.sample()
        source = from_git(
            deploy_pb2.GitSource(repository=sample.repository, commit_sha=sample.sha, branch=sample.branch)
        )
        deployment_id = await self._create(letter, source.spec)
        self.heading(f"Build and deploy {letter}", f": {source.label} to {PRODUCTION}, deployment {deployment_id}")
        rollout = Rollout(self._database, self._client, deployment_id, source)
        seen = await build(self.console, self._box, servers, rollout)
        done(self.console, f"{seen.status}{report.took(seen.operation)}; {await self._live(letter)}")
        await self._arrived(seen)

    async def deploy(self, letter: str) -> None:
        """Deploy the next version of the image to production."""
        deployment_id = await self._create(letter, DeploymentSpec(git_branch=_BRANCH))
        image = f"{IMAGE}:{len(self._ids)}.0"
        self.heading(f"Deploy {letter}", f": {image} to {PRODUCTION}, deployment {deployment_id}")
        source = deploy_pb2.DockerImage(image=image)
        request = deploy_pb2.DeployRequest(deployment_id=deployment_id, docker_image=source)
        await self._call(partial(self._client.deploy, request), f"deploying {letter}")
        seen = await self._overview(letter)
        phases = ", ".join(f"{run.step} {terminal.duration(run.duration_ms or 0)}" for run in seen.steps)
        done(self.console, f"{seen.status}{report.took(seen.operation)}: {phases}; {await self._live(letter)}")
        await self._arrived(seen)

    async def rollback(self, source: str, target: str) -> None:
        """Go back to a deployment that rests by now."""
        self.heading(f"Roll back from {source} to {target}")
        request = deploy_pb2.RollbackRequest(
            source_deployment_id=self._ids[source], target_deployment_id=self._ids[target]
        )
        operation_id = await self._call(partial(self._client.rollback, request), f"rolling back to {target}")
        took = await self._took(operation_id)
        done(self.console, f"done{took}: {target} was woken, and healthy before traffic moved; {source} keeps running")
        await self._moved(operation_id)

    async def promote(self, letter: str, title: str) -> None:
        """Make a deployment live for good."""
        self.heading(title)
        request = deploy_pb2.PromoteRequest(target_deployment_id=self._ids[letter])
        operation_id = await self._call(partial(self._client.promote, request), f"promoting {letter}")
        switch = await self._database.read(partial(switches.find, operation_id=operation_id))
        resting = switch.result["superseded_deployment_ids"] if switch else []
        then = ", ".join(f"{self._letter(deployment_id)} goes to rest" for deployment_id in resting)
        done(self.console, f"done{await self._took(operation_id)}: {await self._live(letter)}; {then}")
        await self._moved(operation_id)

    async def sweep(self) -> None:
        """Sweep previews, of which one is idle."""
        self.heading("Sweep idle previews")
        await sweep(self.console, self._box, self._client)

    async def rests(self, letter: str, why: str) -> None:
        """Wait until a deployment is in standby and none of its instances runs."""
        began_s = monotonic()
        try:
            async with asyncio.timeout(_WITHIN_SECONDS):
                while not _rests(await self._overview(letter)):  # noqa: ASYNC110 - another process's doing
                    await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError:
            raise HydraError(f"{letter} should be in standby by now, and is not", reason="NOT_IN_STANDBY") from None
        waited = terminal.duration((monotonic() - began_s) * 1000)
        done(self.console, f"{letter}, {why}, went to standby after {waited} (by default: {_USUAL_DELAY})")

    async def end(self) -> None:
        """Show what was live when, and all that changed in the tables."""
        app_id, _ = self._box.production
        told = await self._database.read(partial(history.turns, app_id=app_id, limit=len(self._ids) + self._acts))
        self.console.print(Text("\nWhat was live, newest first").append(": hydra-deploy history", "dim"), style="bold")
        self.console.print(turns.table([self._lettered(turn) for turn in told]))
        self.console.print("\nRows that changed in all", style="bold")
        changes = snapshot.compare(self._before, await self._database.read(snapshot.take))
        self.console.print(changes_table(changes))

    async def _create(self, letter: str, spec: DeploymentSpec) -> str:
        deployment_id = self._ids[letter] = await create_deployment(self._database, *self._box.production, spec)
        return deployment_id

    async def _arrived(self, seen: Overview) -> None:
        """Show where a deployment is to be found."""
        if len(self._ids) == 1:
            self.console.print(report.urls(seen.routes))
        if seen.operation:
            await self._moved(seen.operation.id)

    async def _call(self, call: Callable[[], Awaitable[str]], what: str) -> str:
        with self.console.status(what):
            return await call()

    async def _overview(self, letter: str) -> Overview:
        return await self._database.read(partial(overview, deployment_id=self._ids[letter]))

    async def _live(self, letter: str) -> str:
        """Say what is live, after something happened to a deployment."""
        app_id, _ = self._box.production
        app: App = await self._database.read(partial(apps.find, app_id=app_id))
        live = self._letter(app.current_deployment_id or "")
        if live == letter:
            return f"{letter} is live"
        return f"{live} stays live because of the rollback, {letter} gets no live name"

    async def _took(self, operation_id: str) -> str:
        operation = await self._database.read(partial(history.operation, operation_id=operation_id))
        return f" in {terminal.duration(operation.duration_ms or 0)}"

    async def _moved(self, operation_id: str) -> None:
        """Show the host names that lead to another deployment than before."""
        found = await self._database.read(partial(switches.moved_by, operation_id=operation_id))
        self.console.print(
            moves(
                [
                    RouteMove(move.fqdn, self._letter(move.previous_deployment_id), self._letter(move.deployment_id))
                    for move in found
                ]
            )
        )

    def _letter(self, deployment_id: str) -> str:
        return next((letter for letter, id_ in self._ids.items() if id_ == deployment_id), deployment_id)

    def _lettered(self, turn: history.Turn) -> history.Turn:
        """Put letters for ids."""
        return replace(
            turn,
            deployment_id=self._letter(turn.deployment_id),
            from_deployment_id=turn.from_deployment_id and self._letter(turn.from_deployment_id),
            live_deployment_id=turn.live_deployment_id and self._letter(turn.live_deployment_id),
        )


def _rests(seen: Overview) -> bool:
    return seen.desired_state == DesiredState.STANDBY and not any(region.instances for region in seen.regions)
