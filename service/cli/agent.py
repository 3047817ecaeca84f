"""`hydra-deploy agent`: simulated regional agents."""

import asyncio
from collections.abc import Collection
from datetime import timedelta
from typing import Annotated

import typer

from service import log
from service.cli import interrupt, terminal
from service.cli.connection import connected
from service.cli.options import Config, duration, settings_from
from service.config import Settings
from service.database.engine import Database
from service.dev.agent import region_agents
from service.dev.cluster_service import Region
from service.dev.workload import AgentBehaviour, Fate
from service.dev.world import regions
from service.errors import FailedPrecondition, NotFound

_START_DELAY = "300ms"


def agent(
    *,
    config: Config = None,
    region: Annotated[
        list[str] | None, typer.Option(help="A region's name; give it again for more. All regions without it.")
    ] = None,
    start_delay: Annotated[
        timedelta, typer.Option(parser=duration, metavar="DURATION", help="How long an instance takes to start.")
    ] = _START_DELAY,  # type: ignore[assignment] # the parser makes a timedelta of it
    fate: Annotated[Fate, typer.Option(help="What becomes of an instance that has started.")] = Fate.RUN,
    dead: Annotated[bool, typer.Option("--dead", help="Do nothing at all, as a region that is down.")] = False,
) -> None:
    """Simulate the agents of regions until SIGINT or SIGTERM: they run what is desired, and report it."""
    settings = settings_from(config)
    log.configure("warning", "text")
    interrupt.run_until_signal(_run(settings, region or (), AgentBehaviour(start_delay, fate, dead=dead)))


async def _run(settings: Settings, names: Collection[str], behaviour: AgentBehaviour) -> None:
    async with connected(settings) as database:
        chosen = await _choose(database, names)
        async with region_agents(database, chosen, behaviour):
            said = ", ".join(sorted(region.name for region in chosen))
            terminal.console(errors=True).print(f"agents run in {said}; end them with Ctrl-C", soft_wrap=True)
            await asyncio.Event().wait()


async def _choose(database: Database, names: Collection[str]) -> list[Region]:
    known = await regions(database)
    if not known:
        raise FailedPrecondition("the database has no regions: run `hydra-deploy seed`", reason="NO_REGIONS")
    unknown = sorted(set(names) - {region.name for region in known})
    if unknown:
        have = ", ".join(sorted(region.name for region in known))
        raise NotFound(f"there is no region {', '.join(unknown)}; known are {have}", reason="REGION_NOT_FOUND")
    return [region for region in known if not names or region.name in names]
