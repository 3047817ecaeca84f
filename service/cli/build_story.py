"""The act of the demo that builds: a commit of a local git repository becomes an image in a local registry."""

import asyncio

from rich.console import Console

from service.analytics.build_history import BuildHistory
from service.app.analytics import open_build_history
from service.cli import terminal
from service.cli.build_log import TextLog
from service.cli.rollout import Rollout
from service.cli.sandbox import Sandbox, done, left_out
from service.cli.source import digest_of
from service.database.overview import Overview
from service.dev.build_servers import BuildServers
from service.dev.clickhouse import ENGINE_MISSING
from service.domain.build import BuildLogLine, BuildOf, BuildStep
from service.errors import NotFound

_WITHIN_SECONDS = 30
_LOOK_SECONDS = 0.05
_INTERNAL = "[internal]"
_KIB = 1024


async def build(console: Console, box: Sandbox, servers: BuildServers, rollout: Rollout) -> Overview:
    """Deploy from git phase by phase, show what the build did and what the registry has of it."""
    await rollout.run(console)
    seen = await rollout.overview()
    if box.stack.clickhouse is None:
        left_out(console, f"the build's steps are left out: {ENGINE_MISSING}")
    else:
        await _show_steps(console, box, rollout.deployment_id)
    await _show_image(console, servers, seen)
    return seen


async def _show_steps(console: Console, box: Sandbox, deployment_id: str) -> None:
    """Show steps and lines as `logs` does, but for those that are no lines of the Dockerfile."""
    of = BuildOf(box.world.workspace_id, box.world.project_id, deployment_id)
    async with open_build_history(box.stack.settings()) as history:
        steps, lines = await _written(history, of)
    console.print("  what the build left in ClickHouse: hydra-deploy logs", style="dim", soft_wrap=True)
    log = TextLog(deployment_id, console)
    log.know(steps)
    for step in steps:
        for line in lines:
            if line.step_id == step.step_id:
                log.line(line)
        log.ended(step)


async def _written(history: BuildHistory, of: BuildOf) -> tuple[list[BuildStep], list[BuildLogLine]]:
    """Wait for the rows, which are written in the background."""
    try:
        async with asyncio.timeout(_WITHIN_SECONDS):
            while True:
                steps = [step for step in await history.steps(of) if not step.name.startswith(_INTERNAL)]
                lines = await history.lines(of)
                if steps and {step.step_id for step in steps if step.has_logs} <= {line.step_id for line in lines}:
                    return steps, lines
                await asyncio.sleep(_LOOK_SECONDS)
    except TimeoutError:
        raise NotFound("the build's steps should be in ClickHouse by now, and are not", reason="NO_STEPS") from None


async def _show_image(console: Console, servers: BuildServers, seen: Overview) -> None:
    """Show what was pushed, as the registry tells it. Raises NotFound where it has nothing of the kind."""
    image = seen.image or ""
    name, _, tag = image.removeprefix(f"{servers.registry.host}/").rpartition(":")
    stored = await servers.registry.manifest(name, tag)
    if stored is None or stored.digest != digest_of(seen):
        raise NotFound(f"{image} should be in the registry as {digest_of(seen)}, and is not", reason="NOT_PUSHED")
    layers = stored.manifest["layers"]
    size = sum(layer["size"] for layer in layers) // _KIB
    done(console, f"pushed {image}, {terminal.counted(len(layers), 'layer')}, {size} KiB")
    console.print(f"    {stored.digest}", style="dim", soft_wrap=True)
