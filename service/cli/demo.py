"""`hydra-deploy demo`: what happens to an app's traffic, told on a stack of its own; nothing stays."""

import asyncio
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

from rich.console import Console

from service import log
from service.cli import interrupt, terminal
from service.cli.rollout import CALLER
from service.cli.sandbox import FORGETFUL_GRACE, left_out, sandbox
from service.cli.story import Story
from service.config.values import format_duration
from service.dev.build_servers import obstacle
from service.dev.clickhouse import ENGINE_MISSING, has_engine
from service.dev.stack import LocalStack, StackOptions
from service.rpc.client import DeployClient

# The usual ones are too long to watch.
_TIMES = {
    "standby_delay": timedelta(milliseconds=500),
    "idle_time": timedelta(seconds=2),
    "request_log_lag": timedelta(),  # visits are logged at once
}


def demo() -> None:
    """Tell on a stack of its own: deploys, a rollback and its end, a promotion, a sweep of previews; then clean up.

    Needs nothing but the Restate server's binary, which `make setup` installs. With what `make buildkit` installs, the
    first deploy is built from a git repository. Ctrl-C stops it at any time.
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
    times = {key: f'"{format_duration(time)}"' for key, time in _TIMES.items()}
    with TemporaryDirectory(prefix="hydra-deploy-") as folder:
        lacking = obstacle(Path(folder))
        options = StackOptions(deploy=times, clickhouse=has_engine(), builds=not lacking, stop_grace=FORGETFUL_GRACE)
        async with (
            sandbox(console, LocalStack(Path(folder), options)) as box,
            DeployClient(box.stack.grpc_address, CALLER) as client,
        ):
            if lacking:
                left_out(console, f"not built from git, so A is a ready image as well: {lacking}")
            await _tell(Story(console, box, client))


async def _tell(story: Story) -> None:
    await story.begin()
    await story.deploy_first("A")
    await story.deploy("B")
    await story.rests("A", "which lost its traffic")
    await story.rollback("B", "A")
    await story.deploy("C")
    await story.promote("A", "Confirm the rollback: promote A, which is live")
    await story.promote("C", "Promote C")
    if has_engine():
        await story.sweep()
    else:
        story.heading("Sweep idle previews")
        left_out(story.console, f"left out: {ENGINE_MISSING}")
    await story.rests("A", "which C replaced")
    await story.rests("B", "which was rolled back")
    await story.end()
