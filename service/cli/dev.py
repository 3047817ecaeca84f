"""`hydra-deploy dev`: the local stack, staying up."""

import asyncio
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console

from service import log
from service.cli import interrupt, terminal
from service.cli.directions import directions
from service.cli.log_tail import LogTail
from service.cli.sandbox import FORGETFUL_GRACE, left_out, sandbox
from service.dev.build_servers import obstacle
from service.dev.clickhouse import ENGINE_MISSING, has_engine
from service.dev.process import ProcessFailed
from service.dev.stack import PORTS_FILE, LocalStack, StackOptions
from service.dev.world import create_deployment
from service.errors import FailedPrecondition

_LOOK_SECONDS = 0.25


def dev(
    keep: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Keep the data in this folder, and go on with what it holds; a temporary one without it.",
        ),
    ] = None,
) -> None:
    """Start a whole stack with a sample app and agents for three regions, and keep it running until Ctrl-C.

    Prints its addresses and lines to copy. The service's warnings are shown as they come.
    """
    log.configure("warning", "text")
    interrupt.run_until_signal(_dev(terminal.console(), keep))


async def _dev(console: Console, keep: Path | None) -> None:
    try:
        await _stay_up(console, keep)
    except asyncio.CancelledError:
        console.print(f"all of it is stopped{'' if keep else ' and removed'}")
        raise


async def _stay_up(console: Console, keep: Path | None) -> None:
    with _folder(keep) as folder:
        lacking = obstacle(folder)
        options = StackOptions(clickhouse=has_engine(), builds=not lacking)
        stack = LocalStack(folder, options if keep else replace(options, stop_grace=FORGETFUL_GRACE))
        tail = LogTail(stack.worker_log)
        async with sandbox(console, stack) as box:
            if stack.clickhouse is None:
                left_out(console, f"idle previews cannot be found: {ENGINE_MISSING}")
            if lacking:
                left_out(console, f"nothing can be built from git: {lacking}")
            prepared = await create_deployment(stack.database, *box.production)
            sample = await stack.build_servers.sample() if stack.build_servers else None
            console.print(directions(box, prepared, sample), soft_wrap=True)
            console.print(f"\nCtrl-C ends it all; {'the folder stays' if keep else 'nothing is kept'}.\n")
            await _watch(console, stack, tail)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """Provide the stack's folder: a temporary one, or the one to keep, for us alone."""
    if keep is None:
        with TemporaryDirectory(prefix="hydra-deploy-") as temporary:
            yield Path(temporary)
        return
    folder = keep.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()) and not (folder / PORTS_FILE).exists():
        raise FailedPrecondition(f"{folder} holds other things: name a new folder", reason="FOLDER_NOT_EMPTY")
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield folder
    except BlockingIOError:
        raise FailedPrecondition(f"{folder} is in use by another stack", reason="FOLDER_IN_USE") from None
    finally:
        os.close(descriptor)


async def _watch(console: Console, stack: LocalStack, tail: LogTail) -> None:
    """Show what the service warns of, for as long as it runs."""
    while stack.worker.exit_code is None:
        for line in tail.news():
            console.print(line, style="yellow", soft_wrap=True)
        await asyncio.sleep(_LOOK_SECONDS)
    raise ProcessFailed(f"the service ended by itself, exit code {stack.worker.exit_code}: see {stack.worker_log}")
