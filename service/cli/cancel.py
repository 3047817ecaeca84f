"""`hydra-deploy cancel`: a deploy ends, in order, wherever it stands."""

import json
from functools import partial
from typing import Annotated

import typer
from rich.text import Text

from service import log
from service.app.cancellation import Cancellation, Ended
from service.app.reconciling import open_admin
from service.cli import interrupt, terminal
from service.cli.attendance import attend
from service.cli.connection import connected
from service.cli.options import AsJson, Config, settings_from
from service.config import Settings
from service.database import overview
from service.domain.deployment import Status
from service.errors import FailedPrecondition


def cancel(
    deployment: Annotated[str, typer.Argument(help="The deployment, by id.", show_default=False)],
    *,
    config: Config = None,
    wait: Annotated[bool, typer.Option(help="Wait until all is undone.")] = True,
    as_json: AsJson = False,
) -> None:
    """End the deploy of a deployment: what it does now is stopped, then all is undone, over Restate's admin API.

    Also one that is queued, scheduled, paused or that builds. Its traffic goes back where it was. Calling again does
    no harm. Ctrl-C only stops watching.
    """
    settings = settings_from(config)
    log.configure("critical", "text")  # what goes wrong is told in one line, at the end
    ended, operations = interrupt.run(_cancel(settings, deployment, wait=wait, as_json=as_json))
    if as_json:
        found = {"deployment_id": deployment, "operations": operations}
        if ended is not None:
            found |= {"status": ended.status.value, "error": ended.error}
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        terminal.console().print(_said(deployment, ended), soft_wrap=True)
    if ended is not None and ended.status is Status.READY:
        raise FailedPrecondition(f"the deployment {deployment!r} was ready before it could be cancelled", reason="LATE")


async def _cancel(
    settings: Settings, deployment_id: str, *, wait: bool, as_json: bool
) -> tuple[Ended | None, list[str]]:
    async with connected(settings) as database, open_admin(settings) as restate:
        cancellation = Cancellation(database, restate, deployment_id)
        await cancellation.ask()
        if not wait:
            return None, cancellation.operation_ids

        async def look() -> str:
            seen = await database.read(partial(overview.progress, deployment_id=deployment_id))
            return f"{deployment_id} is {seen.status}: it is being undone"

        ended = await attend(terminal.console(errors=as_json), cancellation.ended(), look)
        return ended, cancellation.operation_ids


def _said(deployment_id: str, ended: Ended | None) -> Text:
    if ended is None:
        return Text(f"{deployment_id} is being cancelled")
    said = Text(f"{deployment_id} is {ended.status.value}", "yellow")
    return said.append(f": {ended.error}" if ended.error else "")
