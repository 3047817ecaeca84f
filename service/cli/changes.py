"""Rows that changed, table by table, short enough to read."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Table

from service.database.tables import frontline_routes
from service.dev.snapshot import Row, TableChange

# The columns that tell best what a row is about; the first that a table has is counted by.
_TELLING = ("sticky", "step", "health", "desired_status", "status", "state")
_LONGEST_VALUE = 40
_LONG_TEXTS = ("policy", "result", "detail", "sentinel_config")


def changes_table(changes: Iterable[TableChange]) -> Table:
    """Lay changes out: the table, how many rows were added (+), changed (~) and removed (-), and what is in them."""
    grid = Table.grid(padding=(0, 3, 0, 0))
    grid.add_column(style="cyan")
    grid.add_column(justify="right")
    grid.add_column(overflow="fold")
    for change in changes:
        kinds = (("+", change.inserted), ("~", change.updated), ("-", change.deleted))
        counts = " ".join(f"{sign}{len(rows)}" for sign, rows in kinds if rows)
        grid.add_row(f"  {change.table}", counts, "\n".join(described(change)))
    return grid


def moves_table(changes: Iterable[TableChange]) -> Table:
    """Lay out the host names that lead to another deployment than before."""
    grid = Table.grid(padding=(0, 3, 0, 0))
    for change in changes:
        for row in change.updated if change.table == frontline_routes.name else ():
            if "deployment_id" in row.changed:
                old, new = row.changed["deployment_id"]
                grid.add_row(f"  https://{row.after['fully_qualified_domain_name']}", f"{old} → {new}")
    return grid


def described(change: TableChange) -> list[str]:
    """Say what was added (+), changed (~) and removed (-); equal changes of several rows are one."""
    said = [_kinds(rows, sign) for sign, rows in (("+", change.inserted), ("-", change.deleted))]
    updates = Counter(_update(row.changed) for row in change.updated)
    said[1:1] = [f"~ {_times(text, count)}" for text, count in updates.items()]
    return [text for text in said if text]


def _kinds(rows: tuple[Row, ...], sign: str) -> str:
    """Count rows by their telling column, as in `+ status running x3`."""
    column = next((name for name in _TELLING if rows and name in rows[0]), None)
    if column is None:
        return ""
    counts = Counter(str(row[column]) for row in rows)
    return f"{sign} {column} " + ", ".join(_times(kind, count) for kind, count in counts.items())


def _update(changed: Mapping[str, tuple[Any, Any]]) -> str:
    """Write a row's changed columns; times only where nothing else changed."""
    telling = {name: values for name, values in changed.items() if not name.endswith("_at")}
    return ", ".join(_changed(name, *values) for name, values in telling.items()) or ", ".join(changed)


def _changed(name: str, old: Any, new: Any) -> str:
    return name if name in _LONG_TEXTS else f"{name} {_value(old)} → {_value(new)}"


def _value(value: Any) -> str:
    if value is None:
        return "NULL"
    text = str(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"


def _times(text: str, count: int) -> str:
    return text if count == 1 else f"{text} x{count}"
