"""Inserts that meet a row which is there already: the two databases write them differently."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
    and_,
    case,
    func,
    insert,
    select,
    tuple_,
)
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

Row = Mapping[str, Any]


async def insert_ignore(conn: AsyncConnection, table: Table, rows: Row | Sequence[Row]) -> None:
    """Insert the rows of which no unique key is taken; the others leave what is there as it is.

    Not MySQL's INSERT IGNORE: that would also cut long texts and store a wrong enum value as an empty one.
    """
    values = _listed(rows)
    if conn.dialect.name == "sqlite":
        await conn.execute(sqlite.insert(table).values(values).on_conflict_do_nothing())
    else:
        column = table.primary_key.columns[0]
        await conn.execute(mysql.insert(table).values(values).on_duplicate_key_update({column.name: column}))


async def upsert(
    conn: AsyncConnection,
    table: Table,
    rows: Row | Sequence[Row],
    *,
    key: Sequence[str],
    update: Sequence[str],
) -> None:
    """Insert rows, all with the same columns; where one with the same `key` is there, set its `update` columns.

    `key` names the columns of one unique key. A row that meets another row in a different key raises
    IntegrityError, and that other row stays as it is.
    """
    values = _listed(rows)
    if conn.dialect.name == "sqlite":
        statement = sqlite.insert(table).values(values)
        new = {name: statement.excluded[name] for name in update}
        await conn.execute(statement.on_conflict_do_update(index_elements=key, set_=new))
    else:
        await _upsert_mysql(conn, table, values, key, update)


async def _upsert_mysql(
    conn: AsyncConnection, table: Table, rows: list[Row], key: Sequence[str], update: Sequence[str]
) -> None:
    """Upsert where ON DUPLICATE KEY cannot be told which key: it updates the row met in any of them."""
    statement = mysql.insert(table).values(rows)
    new: dict[str, ColumnElement[Any]] = {name: statement.inserted[name] for name in update}
    if not _has_other_keys(table, key):
        await conn.execute(statement.on_duplicate_key_update(new))
        return
    is_same = and_(*(table.c[name] == statement.inserted[name] for name in key))
    guarded = {name: case((is_same, value), else_=table.c[name]) for name, value in new.items()}
    await conn.execute(statement.on_duplicate_key_update(guarded))
    wanted = {tuple(row[name] for name in key) for row in rows}
    is_wanted = tuple_(*(table.c[name] for name in key)).in_(sorted(wanted))
    if await conn.scalar(select(func.count()).select_from(table).where(is_wanted)) != len(wanted):
        # A row met a stranger and is not there. Inserted plainly it raises the server's own error.
        await conn.execute(insert(table).values(rows))


def _has_other_keys(table: Table, key: Sequence[str]) -> bool:
    """Tell whether a row can meet another in a key that is neither `key` nor the surrogate that the server gives."""
    surrogate = table.autoincrement_column
    keys = [
        set(constraint.columns.keys())
        for constraint in table.constraints
        if isinstance(constraint, UniqueConstraint | PrimaryKeyConstraint)
    ]
    return any(names not in (set(key), {surrogate.name} if surrogate is not None else None) for names in keys)


def _listed(rows: Row | Sequence[Row]) -> list[Row]:
    return [rows] if isinstance(rows, Mapping) else list(rows)
