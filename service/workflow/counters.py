"""The counters that an earlier worker left in Restate state: where ours start, the first time a region is used."""

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
