"""`hydra-deploy status`: one deployment, as the tables have it."""

from functools import partial
from typing import Annotated

import typer

from service.cli import interrupt, report, terminal
from service.cli.connection import connected
from service.cli.options import AsJson, Config, settings_from
from service.clock import now_ms
from service.config import Settings
from service.database.overview import Overview, overview


def status(
    *,
    deployment: Annotated[str, typer.Argument(metavar="DEPLOYMENT", help="The deployment's id.", show_default=False)],
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show a deployment: phases with durations and errors, regions, instances, routes, and the operation's record.

    The keys of the JSON document are stable; docs/command-line.md explains them. A deployment that does not exist ends
    the command with exit code 1.
    """
    seen = interrupt.run(_read(settings_from(config), deployment))
    if as_json:
        print(report.document(seen))
    else:
        terminal.console().print(report.page(seen, now_ms()))


async def _read(settings: Settings, deployment_id: str) -> Overview:
    async with connected(settings) as database:
        return await database.read(partial(overview, deployment_id=deployment_id))
