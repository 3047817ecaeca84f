"""The per-region version counter that regional agents follow (06 · decision 3).

Taking a number and writing the rows it stamps is one transaction that holds the region's counter, so
numbers become visible in order and an agent that polls `version > cursor` misses no row.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, case, func, select, union_all, update
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database.tables import cilium_network_policies, deployment_topology, regions, sentinels
from service.database.tables import hydra_region_versions as counters
from service.database.upsert import insert_ignore

_STAMPED = (deployment_topology, sentinels, cilium_network_policies)


class Uncounted(Exception):
    """Some regions have no counter yet: an earlier worker's state says where theirs start (`workflow.counters`)."""

    def __init__(self, region_ids: list[str]) -> None:
        super().__init__(f"no version counter: {', '.join(region_ids)}")
        self.region_ids = region_ids


class Stamps:
    """The locked counters of some regions, numbers taken so far included."""

    def __init__(self, versions: Mapping[str, int]) -> None:
        self._versions = dict(versions)
        self._taken: set[str] = set()

    def take(self, region_id: str) -> int:
        """Take the region's next number."""
        self._taken.add(region_id)
        self._versions[region_id] += 1
        return self._versions[region_id]

    async def save(self, conn: AsyncConnection) -> None:
        """Store the counters; call it in the transaction that writes the stamped rows."""
        if not self._taken:
            return
        taken = sorted(self._taken)
        versions = case({region_id: self._versions[region_id] for region_id in taken}, value=counters.c.region_id)
        await conn.execute(update(counters).where(counters.c.region_id.in_(taken)).values(version=versions))


async def lock(conn: AsyncConnection, region_ids: Collection[str]) -> Stamps:
    """Lock the counters of regions, in id order, until the transaction ends.

    Raises Uncounted where a region has none. Ids are compared to the letter: some collations take one for another.
    """
    rows = await conn.execute(
        select(counters.c.region_id, counters.c.version)
        .where(counters.c.region_id.in_(sorted(region_ids)))
        .order_by(counters.c.region_id)
        .with_for_update()
    )
    versions = {row.region_id: row.version for row in rows}
    if missing := sorted(set(region_ids) - versions.keys()):
        raise Uncounted(missing)
    return Stamps(versions)


async def start_counters(conn: AsyncConnection, floors: Mapping[str, int]) -> None:
    """Start missing counters above the given floors and above every version already in use."""
    for region_id in sorted(floors):
        used = await conn.scalar(_highest_used(region_id))
        await insert_ignore(conn, counters, {"region_id": region_id, "version": max(floors[region_id], int(used or 0))})


async def latest(conn: AsyncConnection, region_id: str) -> int | None:
    """Read the last number taken in a region, None where it has no counter."""
    version: int | None = await conn.scalar(select(counters.c.version).where(counters.c.region_id == region_id))
    return version


def _highest_used(region_id: str) -> Select[Any]:
    highest = union_all(
        *(
            select(func.max(table.c.version).label("version")).where(table.c.region_id == region_id)
            for table in _STAMPED
        )
    ).subquery()
    return select(func.max(highest.c.version))


@dataclass(frozen=True)
class Raised:
    """A region, by its name where it has one, with the last number of its counter before and after."""

    region: str
    before: int
    after: int


async def raise_all(conn: AsyncConnection, floor: int) -> list[Raised]:
    """Raise every region's counter to `floor` at least, and number all that is stamped anew above that, in its order.

    This is for a database that was set back: agents that went on have seen higher versions, and would neither hear of
    what comes, nor of what is there again. Regions without a counter get one. But where none has any, nothing is
    done and the list is empty: another worker counts there.
    """
    if await conn.scalar(select(func.count()).select_from(counters)) == 0:
        return []
    names = {row.id: row.name for row in await conn.execute(select(regions.c.id, regions.c.name))}
    await start_counters(conn, dict.fromkeys(names, 0))
    rows = await conn.execute(select(counters).order_by(counters.c.region_id).with_for_update())
    return [
        Raised(
            names.get(row.region_id, row.region_id), row.version, await _raise(conn, row.region_id, row.version, floor)
        )
        for row in rows.all()
    ]


async def behind(conn: AsyncConnection) -> list[str]:
    """Return the regions whose counter is behind a version in use: the database was set back in parts."""
    rows = await conn.execute(select(counters.c.region_id, counters.c.version).order_by(counters.c.region_id))
    return [row.region_id for row in rows.all() if (await _in_use(conn, row.region_id))[1] > row.version]


async def _raise(conn: AsyncConnection, region_id: str, counted: int, floor: int) -> int:
    lowest, highest = await _in_use(conn, region_id)
    top = max(floor, counted, highest)
    # No new number is an old one of another row, which would be refused as a duplicate on the way.
    by = top + 1 - lowest
    for table in _STAMPED:
        await conn.execute(update(table).where(table.c.region_id == region_id).values(version=table.c.version + by))
    after = highest + by if highest else top
    await conn.execute(update(counters).where(counters.c.region_id == region_id).values(version=after))
    return after


async def _in_use(conn: AsyncConnection, region_id: str) -> tuple[int, int]:
    """Return the lowest and the highest version of a region's rows, 0 and 0 where it has none."""
    ends = [
        select(func.min(table.c.version).label("lowest"), func.max(table.c.version).label("highest")).where(
            table.c.region_id == region_id
        )
        for table in _STAMPED
    ]
    both = union_all(*ends).subquery()
    row = (await conn.execute(select(func.min(both.c.lowest), func.max(both.c.highest)))).one()
    return int(row[0] or 0), int(row[1] or 0)
