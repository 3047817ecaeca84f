"""Readers of versions: each follows one region as its agent does, and remembers what it saw (02 · 6, 06 · V1)."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from sqlalchemy import func, literal, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database import tables
from tests.installation import Installation

STAMPED = (tables.deployment_topology, tables.sentinels, tables.cilium_network_policies)

_EVERY_S = 0.01


@dataclass
class Reader:
    """A cursor per table, moved to the highest version seen."""

    region_id: str
    cursors: dict[str, int] = field(default_factory=lambda: {table.name: 0 for table in STAMPED})
    seen: dict[str, set[int]] = field(default_factory=lambda: {table.name: set() for table in STAMPED})
    looks: int = 0

    async def look(self, conn: AsyncConnection) -> None:
        """Read what is new, each table in a statement of its own."""
        for table in STAMPED:
            newer = table.c.version > self.cursors[table.name]
            versions = list(
                await conn.scalars(select(table.c.version).where(table.c.region_id == self.region_id, newer))
            )
            self.seen[table.name].update(versions)
            self.cursors[table.name] = max([self.cursors[table.name], *versions])
        self.looks += 1

    async def missed(self, installation: Installation) -> dict[str, set[int]]:
        """Return the versions that stand in the region and were never seen, by table."""
        return {
            table.name: {row["version"] for row in await installation.rows(table, region_id=self.region_id)}
            - self.seen[table.name]
            for table in STAMPED
        }


@asynccontextmanager
async def reading(installation: Installation, region_ids: Sequence[str]) -> AsyncIterator[list[Reader]]:
    """Read every 10 ms while the block lasts, and once more after it."""
    readers = [Reader(region_id) for region_id in region_ids]

    async def follow(reader: Reader) -> None:
        while True:
            await installation.database.read(reader.look)
            await asyncio.sleep(_EVERY_S)

    tasks = [asyncio.create_task(follow(reader)) for reader in readers]
    try:
        yield readers
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for reader in readers:
        await installation.database.read(reader.look)


async def given_twice(installation: Installation) -> list[tuple[str, int]]:
    """Return regions and versions that stand in more than one row, of all three tables together."""
    everything = union_all(
        *(select(literal(table.name).label("name"), table.c.region_id, table.c.version) for table in STAMPED)
    ).subquery()
    twice = (
        select(everything.c.region_id, everything.c.version)
        .group_by(everything.c.region_id, everything.c.version)
        .having(func.count() > 1)
    )

    async def work(conn: AsyncConnection) -> list[tuple[str, int]]:
        return [(region_id, version) for region_id, version in await conn.execute(twice)]

    return await installation.database.read(work)
