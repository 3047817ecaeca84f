"""`hydra-deploy demo`: two deploys on a stack of its own, shown as they happen; nothing stays."""

import asyncio
from datetime import timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

from rich.console import Console

from service import log
from service.cli import interrupt, report, terminal
from service.cli.changes import changes_table, moves_table
from service.cli.rollout import CALLER, Rollout
from service.cli.sandbox import FORGETFUL_GRACE, IMAGE, Sandbox, done, sandbox
from service.config import DeploySettings
from service.config.values import format_duration
from service.database.overview import Overview, overview
from service.dev import snapshot
from service.dev.snapshot import Snapshot, TableChange
from service.dev.stack import LocalStack, StackOptions
from service.dev.world import DeploymentSpec, create_deployment
from service.domain.deployment import PRODUCTION, DesiredState
from service.errors import HydraError
from service.rpc.client import DeployClient

_STANDBY_DELAY = timedelta(seconds=1)  # the usual one is too long to watch
_USUAL_DELAY = format_duration(DeploySettings().standby_delay)
_REST_WITHIN = timedelta(seconds=30)
_LOOK_SECONDS = 0.1
_COMMITS = ("4f1c0de6a1b2c3d4e5f60718293a4b5c6d7e8f90", "9b2e7aa5c4d3e2f1a0b9c8d7e6f5a4b3c2d1e0f9")


def demo() -> None:
    """Start a whole stack, deploy twice to three regions through the gRPC server, show what happens, and clean up.

    Needs nothing but the Restate server's binary, which `make setup` installs. Ctrl-C stops it at any time.
    """
    log.configure("warning", "text")
    interrupt.run(_demo(terminal.console()))


async def _demo(console: Console) -> None:
    began_s = monotonic()
    try:
        await _on_a_stack(console)
    except asyncio.CancelledError:
        console.print("\ninterrupted; all of it is stopped and removed")
        raise
    console.print(f"\ndone in {terminal.duration((monotonic() - began_s) * 1000)}; all of it is stopped and removed")


async def _on_a_stack(console: Console) -> None:
    standby_delay = f'"{format_duration(_STANDBY_DELAY)}"'
    options = StackOptions(deploy={"standby_delay": standby_delay}, stop_grace=FORGETFUL_GRACE)
    with TemporaryDirectory(prefix="hydra-deploy-") as folder:
        async with (
            sandbox(console, LocalStack(Path(folder), options)) as box,
            DeployClient(box.stack.grpc_address, CALLER) as client,
        ):
            await _tell(_Story(console, box, client))


async def _tell(story: "_Story") -> None:
    first = await story.deploy(1)
    story.rows(await story.changes())
    await story.deploy(2)
    story.moved(await story.changes())
    await story.rest(first)
    story.rows(await story.changes())


class _Story:
    """The acts of the demo. `_before` is how the tables were when the last deploy began."""

    def __init__(self, console: Console, box: Sandbox, client: DeployClient) -> None:
        self._console = console
        self._box = box
        self._database = box.stack.database
        self._client = client
        self._before: Snapshot = {}

    async def deploy(self, number: int) -> str:
        """Deploy a version of the image over gRPC and show it; returns the deployment's id."""
        image = f"{IMAGE}:{number}.0"
        spec = DeploymentSpec(git_commit_sha=_COMMITS[number - 1], git_branch="main")
        deployment_id = await create_deployment(self._database, *self._box.production, spec)
        self._before = await self._database.read(snapshot.take)
        self._console.print(f"\n{number}. Deploy {image} to {PRODUCTION} over gRPC", style="bold")
        self._console.print(f"   deployment {deployment_id}\n", style="dim")
        rollout = Rollout(self._database, self._client, deployment_id, image)
        await rollout.run(self._console)
        seen = await rollout.overview()
        self._console.print(f"\n  {seen.status}{report.took(seen.operation)}\n", style="bold green")
        self._console.print(report.urls(seen.routes))
        return deployment_id

    async def changes(self) -> list[TableChange]:
        """Compare the tables with how they were when the deploy began."""
        return snapshot.compare(self._before, await self._database.read(snapshot.take))

    def moved(self, changes: list[TableChange]) -> None:
        """Show which host names have moved."""
        self._console.print("\n  Traffic that moved\n", style="bold")
        self._console.print(moves_table(changes))

    def rows(self, changes: list[TableChange]) -> None:
        """Show what changed in the tables since the deploy began."""
        self._console.print("\n  Rows that changed\n", style="bold")
        self._console.print(changes_table(changes))

    async def rest(self, deployment_id: str) -> None:
        """Wait until the replaced deployment is in standby and none of its instances runs."""
        began_s = monotonic()
        self._console.print()
        try:
            async with asyncio.timeout(_REST_WITHIN.total_seconds()):
                while True:
                    if _rests(await self._database.read(partial(overview, deployment_id=deployment_id))):
                        break
                    await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError:
            raise HydraError(
                f"{deployment_id} should be in standby by now, and is not", reason="NOT_IN_STANDBY"
            ) from None
        waited = terminal.duration((monotonic() - began_s) * 1000)
        done(
            self._console,
            f"{deployment_id}, which lost its traffic, went to standby after {waited} (by default: {_USUAL_DELAY})",
        )


def _rests(seen: Overview) -> bool:
    return seen.desired_state == DesiredState.STANDBY and not any(region.instances for region in seen.regions)
