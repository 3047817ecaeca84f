"""All rows of all tables at a moment, and what differs between two such moments."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database.tables import ours, reference

Row = Mapping[str, Any]
Snapshot = Mapping[str, Mapping[Any, Row]]  # table → primary key → row


@dataclass(frozen=True)
class Update:
    """A row that was changed, as it is now; `changed` is column → value before and after."""

    after: Row
    changed: Mapping[str, tuple[Any, Any]]


@dataclass(frozen=True)
class TableChange:
    """What became of a table's rows."""

    table: str
    inserted: tuple[Row, ...]
    updated: tuple[Update, ...]
    deleted: tuple[Row, ...]


async def take(conn: AsyncConnection) -> Snapshot:
    """Read everything: for the small databases of a local stack only."""
    taken = {}
    for table in (*reference.sorted_tables, *ours.sorted_tables):
        rows = (await conn.execute(select(table))).mappings()
        keys = table.primary_key.columns.keys()
        taken[table.name] = {tuple(row[key] for key in keys): dict(row) for row in rows}
    return taken


def compare(before: Snapshot, after: Snapshot) -> list[TableChange]:
    """Return what changed, by name of the table; tables that stayed as they were are left out."""
    changes = [_compare(name, before.get(name, {}), after.get(name, {})) for name in sorted({*before, *after})]
    return [change for change in changes if change.inserted or change.updated or change.deleted]


def _compare(table: str, before: Mapping[Any, Row], after: Mapping[Any, Row]) -> TableChange:
    both = [(before[key], after[key]) for key in before if key in after]
    return TableChange(
        table,
        inserted=tuple(row for key, row in after.items() if key not in before),
        updated=tuple(_update(old, new) for old, new in both if old != new),
        deleted=tuple(row for key, row in before.items() if key not in after),
    )


def _update(old: Row, new: Row) -> Update:
    return Update(new, {name: (old[name], new[name]) for name in new if old[name] != new[name]})
