"""The local stack with a sample world and agents in it, as `demo` and `dev` use it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic

from rich.console import Console
from rich.text import Text

from service.cli import terminal
from service.dev.agent import region_agents
from service.dev.stack import LocalStack
from service.dev.world import World, seed
from service.domain.deployment import PREVIEW, PRODUCTION

IMAGE = "registry.example.com/acme/shop"

# For a stack whose data are thrown away: nobody waits for deploys in progress.
FORGETFUL_GRACE = timedelta(seconds=1)


@dataclass(frozen=True)
class Sandbox:
    """A running stack and what was seeded into it."""

    stack: LocalStack
    world: World

    @property
    def path(self) -> str:
        """The sample app as people write it."""
        return f"{self.world.workspace_slug}/{self.world.project_slug}/{self.world.app.slug}"

    @property
    def production(self) -> tuple[str, str]:
        """The ids of the sample app and its production environment."""
        return self.world.app.id, self.world.app.environments[PRODUCTION]

    @property
    def preview(self) -> tuple[str, str]:
        """The ids of the sample app and its preview environment."""
        return self.world.app.id, self.world.app.environments[PREVIEW]


@asynccontextmanager
async def sandbox(console: Console, stack: LocalStack) -> AsyncIterator[Sandbox]:
    """Start a stack, seed it and let agents run, all for as long as the block lasts."""
    began_s = monotonic()
    async with AsyncExitStack() as exits:
        with console.status("starting Restate, the databases, the builder and the service"):
            await exits.enter_async_context(stack)
            world = await seed(stack.database)
            await exits.enter_async_context(region_agents(stack.database, world.regions.values()))
        box = Sandbox(stack, world)
        parts = ", ".join(_parts(stack))
        done(console, f"{parts} and the service are up in {terminal.duration((monotonic() - began_s) * 1000)}")
        done(console, f"sample app {box.path} is there, agents run in {', '.join(world.regions)}")
        yield box


def _parts(stack: LocalStack) -> Iterator[str]:
    yield from ("Restate", "SQLite")
    if stack.clickhouse:
        yield "ClickHouse"
    if stack.build_servers:
        yield "a git server, a registry, BuildKit"


def done(console: Console, what: str) -> None:
    """Say that something is done."""
    console.print(Text(f"  {terminal.DONE} ", "green") + Text(what), soft_wrap=True)


def left_out(console: Console, what: str) -> None:
    """Say that something is not done, and why."""
    console.print(Text(f"  {terminal.WAITING} {what}", "yellow"), soft_wrap=True)
