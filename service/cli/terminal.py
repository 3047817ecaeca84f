"""How things are written for people: the console, marks, durations and times."""

import sys
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

_WIDTH_OF_A_FILE = 160  # nothing is to be wrapped for a reader that is no terminal

_SECOND_MS, _MINUTE_MS = 1000, 60_000

DONE, FAILED, RUNNING, WAITING = "✓", "✗", "…", "·"


def console(*, errors: bool = False) -> Console:
    """Make a console on standard output or standard error; it takes texts as they are."""
    stream = sys.stderr if errors else sys.stdout
    width = None if stream.isatty() else _WIDTH_OF_A_FILE
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


def duration(ms: float) -> str:
    """Write a duration: `12 ms`, `1.24 s`, `3 m 05 s`."""
    if round(ms) < _SECOND_MS:
        return f"{ms:.0f} ms"
    if round(ms, -1) < _MINUTE_MS:
        return f"{ms / _SECOND_MS:.2f} s"
    minutes, seconds = divmod(round(ms / _SECOND_MS), 60)
    return f"{minutes} m {seconds:02d} s"


def moment(unix_ms: int) -> str:
    """Write a time in UTC, to the second."""
    return datetime.fromtimestamp(unix_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def counted(count: int, noun: str) -> str:
    """Write a number of things: `1 region`, `3 regions`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def grid(columns: int) -> Table:
    """Make a table without lines, whose cells are never cut."""
    table = Table.grid(*[""] * columns, padding=(0, 3, 0, 0))
    for column in table.columns:
        column.overflow = "fold"  # a name that is cut cannot be copied
    return table
