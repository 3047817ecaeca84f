"""How a table is written down here: columns by whether they may be NULL, keys and indexes by name."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import CheckConstraint, Column, Index, MetaData, Table, UniqueConstraint, text
from sqlalchemy.types import TypeEngine

from service.database.tables.types import Choice, Surrogate

# The tables of the reference system, whose shape is a contract (03 · 1).
reference = MetaData()

# The tables that this service adds, all named `hydra_*`.
ours = MetaData()

Keys = Mapping[str, Sequence[str]]


def required(name: str, kind: TypeEngine[Any], default: str | None = None) -> Column[Any]:
    """Return a column that is never NULL; `default` is SQL, as it stands in the table's definition."""
    return _column(name, kind, default, nullable=False)


def optional(name: str, kind: TypeEngine[Any], default: str | None = None) -> Column[Any]:
    """Return a column that may be NULL; `default` as for `required`."""
    return _column(name, kind, default, nullable=True)


def surrogate() -> Column[Any]:
    """Return the numeric primary key that every table of the reference begins with."""
    return Column("pk", Surrogate, primary_key=True)


def key(name: str, kind: TypeEngine[Any]) -> Column[Any]:
    """Return a primary key that the application gives."""
    return Column(name, kind, primary_key=True, autoincrement=False)


def table(
    metadata: MetaData,
    name: str,
    columns: Sequence[Column[Any]],
    *,
    unique: Keys | None = None,
    indexes: Keys | None = None,
) -> Table:
    """Write a table down; `unique` and `indexes` are columns by the name of the key or index."""
    built = Table(name, metadata, *columns, sqlite_autoincrement=True)
    for column in built.columns:
        if isinstance(column.type, Choice):
            # Stands in for ENUM, which SQLite has not.
            built.append_constraint(CheckConstraint(column.in_(column.type.words)).ddl_if(dialect="sqlite"))
    for constraint, names in (unique or {}).items():
        built.append_constraint(UniqueConstraint(*names, name=constraint))
    for index, names in (indexes or {}).items():
        # In SQLite the names of indexes are of the database, not of the table.
        Index(index, *(built.c[each] for each in names)).ddl_if(dialect="mysql")
        Index(f"{name}_{index}", *(built.c[each] for each in names)).ddl_if(dialect="sqlite")
    return built


def _column(name: str, kind: TypeEngine[Any], default: str | None, *, nullable: bool) -> Column[Any]:
    server_default = None if default is None else text(default)
    return Column(name, kind, nullable=nullable, server_default=server_default)
