"""`hydra-deploy seed`: the sample world."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from service.cli import interrupt
from service.cli.connection import connected
from service.cli.options import Config, each_slug, settings_from, slug, slugs, split
from service.config import Settings
from service.dev import world
from service.dev.world import World, WorldSpec

_DEFAULT = WorldSpec()


def seed(
    config: Config = None,
    workspace: Annotated[str, typer.Option(help="The workspace's slug.", callback=slug)] = _DEFAULT.workspace,
    project: Annotated[str, typer.Option(help="The project's slug.", callback=slug)] = _DEFAULT.project,
    app: Annotated[
        list[str] | None,
        typer.Option(help="An app's slug, default without it; give it again for more apps.", callback=each_slug),
    ] = None,
    regions: Annotated[str, typer.Option(help="Names of regions, separated by commas.", callback=slugs)] = ",".join(
        _DEFAULT.regions
    ),
) -> None:
    """Seed a sample workspace, project, apps, environments production and preview, regions, settings and quota.

    Rows that exist stay as they are, so it may run again. Prints the ids as JSON.
    """
    apps = tuple(app or _DEFAULT.apps)
    spec = WorldSpec(workspace=workspace, project=project, apps=apps, regions=tuple(split(regions)))
    print(json.dumps(asdict(interrupt.run(_seed(settings_from(config), spec))), indent=2))


async def _seed(settings: Settings, spec: WorldSpec) -> World:
    async with connected(settings) as database:
        return await world.seed(database, spec)
