"""The counters that an earlier worker left in Restate state: where ours start, the first time a region is used."""

from collections.abc import Awaitable, Callable, Mapping

from hydra.v1 import versioning_pb2

from service.durable.binding import Address, call
from service.durable.journal import Journal


async def floors_of(journal: Journal, region_ids: list[str]) -> dict[str, int]:
    """Ask VersioningService for the last number of each region, all at once."""
    request = versioning_pb2.GetVersionRequest()
    calls = {
        region_id: call(journal.ctx, Address("hydra.v1.VersioningService", "GetVersion", region_id), request)
        for region_id in region_ids
    }
    return {region_id: (await asked.response()).version for region_id, asked in calls.items()}


async def counted(journal: Journal, name: str, attempt: Callable[[Mapping[str, int]], Awaitable[list[str]]]) -> None:
    """Journal an attempt that stamps versions, and once more where regions had no counter yet.

    `attempt` is given floors by region. It returns the regions whose counters must be started first, and has written
    nothing then; else an empty list.
    """
    if uncounted := await journal.step(name, list[str], lambda: attempt({})):
        floors = await floors_of(journal, uncounted)
        await journal.step(name, list[str], lambda: attempt(floors))
