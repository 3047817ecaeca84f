"""Deploys that wait, each before another step, and go on together."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from service.rpc.client import DeployClient
from tests.chaos import callers
from tests.chaos.callers import Done
from tests.chaos.outage_site import Order, OutageSite
from tests.waiting import until


async def deployed(site: OutageSite, orders: Sequence[Order]) -> list[Done]:
    """Deploy, as callers who call again where they get no answer."""
    async with DeployClient(site.installation.stack.grpc_address, "outages") as client:
        return await asyncio.gather(*(callers.deploy(client, order.request) for order in orders))


@dataclass
class Waiting:
    """Deploys under way, by the step that each waited before."""

    orders: dict[str, Order]
    calls: list[asyncio.Future[list[Done]]]

    async def ended(self) -> list[Done]:
        return [done for ends in await asyncio.gather(*self.calls) for done in ends]


@asynccontextmanager
async def staged(site: OutageSite, steps: Sequence[str]) -> AsyncIterator[Waiting]:
    """Have a deploy wait before each of the steps, and let them all go at the end of the block."""
    waiting = Waiting({}, [])
    async with AsyncExitStack() as held:
        # From the last to the first: whoever is on the way to a later step meets no hold before it.
        for step in reversed(steps):
            reached = await held.enter_async_context(site.installation.held(f"{step}.before"))
            waiting.orders[step] = await site.order()
            waiting.calls.append(asyncio.ensure_future(deployed(site, [waiting.orders[step]])))
            await until(partial(asyncio.to_thread, reached.exists))
        yield waiting
