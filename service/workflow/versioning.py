"""hydra.v1.VersioningService: the per-region counter, for callers of the reference's contract (02 · 6).

The counter itself is a row (06 · decision 3). The number under `version` in Restate state is an earlier
worker's; it is the floor above which the row starts.
"""

from typing import Any

from hydra.v1 import versioning_pb2
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database import versions
from service.durable.binding import Handler
from service.errors import InvalidArgument
from service.workflow.runtime import Runtime

_STATE = "version"
_ID_LENGTH = 64  # hydra_region_versions.region_id


def versioning_handlers(runtime: Runtime) -> dict[str, Handler]:
    """Make the handlers by rpc name; the object's key is the region id."""

    async def next_version(ctx: Any, _: versioning_pb2.NextVersionRequest) -> versioning_pb2.NextVersionResponse:
        region_id, floor = _region_id(ctx), await ctx.get(_STATE) or 0

        async def work(conn: AsyncConnection) -> int:
            await versions.start_counters(conn, {region_id: floor})
            try:
                stamps = await versions.lock(conn, [region_id])
            except versions.Uncounted:
                raise InvalidArgument(
                    f"the region {region_id!a} differs from another in case or accents alone", field="key"
                ) from None
            taken = stamps.take(region_id)
            await stamps.save(conn)
            return taken

        version = await runtime.journal(ctx).step("take version", int, lambda: runtime.database.transact(work))
        return versioning_pb2.NextVersionResponse(version=version)

    async def get_version(ctx: Any, _: versioning_pb2.GetVersionRequest) -> versioning_pb2.GetVersionResponse:
        region_id, floor = ctx.key(), await ctx.get(_STATE) or 0

        async def work(conn: AsyncConnection) -> int:
            return await versions.latest(conn, region_id) or 0

        counted = await runtime.journal(ctx).step("read version", int, lambda: runtime.database.read(work))
        return versioning_pb2.GetVersionResponse(version=max(counted, floor))

    return {"NextVersion": next_version, "GetVersion": get_version}


def _region_id(ctx: Any) -> str:
    region_id = str(ctx.key())
    if not 0 < len(region_id) <= _ID_LENGTH:
        raise InvalidArgument(
            f"the key has {len(region_id)} characters, a region's id has 1 to {_ID_LENGTH}", field="key"
        )
    return region_id
