"""What builds leave behind in ClickHouse, their steps and lines: written in the background (03 · 4.1, 4.2, 4.5)."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Protocol

import aiohttp
from clickhouse_connect.driver.exceptions import ClickHouseError

from service.analytics.batches import Batches, Limits, Row
from service.analytics.client import Connection, unavailable
from service.analytics.dsn import ClickHouseDsn
from service.domain.build import BuildLogLine, BuildOf, BuildStep

INSERT_WITHIN = timedelta(seconds=30)

# The server gathers small inserts, answers when they are on its disk, and knows a batch that was sent before.
_SETTINGS = {"async_insert": 1, "wait_for_async_insert": 1, "async_insert_deduplicate": 1}


class BuildRecorder(Protocol):
    """Where builds write down what they do. Nothing here waits or raises, and no build fails for it."""

    @property
    def lost_rows(self) -> int:
        """How many steps and lines were dropped since the start."""
        ...

    def add_lines(self, of: BuildOf, lines: Iterable[BuildLogLine]) -> None: ...

    def add_steps(self, of: BuildOf, steps: Iterable[BuildStep]) -> None: ...

    def flush_soon(self) -> None:
        """Have everything written without delay, as at the end of a build."""
        ...

    async def close(self, within: timedelta) -> None:
        """Write what is left, for no longer than that."""
        ...


class NullBuilds:
    """The recorder where no ClickHouse is configured: nobody could ever read it."""

    lost_rows = 0

    def add_lines(self, of: BuildOf, lines: Iterable[BuildLogLine]) -> None:
        """Nothing is kept."""

    def add_steps(self, of: BuildOf, steps: Iterable[BuildStep]) -> None:
        """Nothing is kept."""

    def flush_soon(self) -> None:
        """Nothing waits."""

    async def close(self, within: timedelta) -> None:
        """Nothing is open."""


@dataclass(frozen=True)
class _Table:
    """A table and the columns of a row, with their types: so that nobody has to ask the server for them."""

    name: str
    columns: dict[str, str]


_KEY = dict.fromkeys(BuildOf._fields, "String")
_STEPS = _Table(
    "default.build_steps_v1",
    _KEY
    | {
        "step_id": "String",
        "started_at": "Int64",
        "completed_at": "Int64",
        "name": "String",
        "cached": "Bool",
        "error": "String",
        "has_logs": "Bool",
    },
)
_LINES = _Table("default.build_step_logs_v1", _KEY | {"step_id": "String", "time": "Int64", "message": "String"})


class ClickHouseBuilds:
    """The recorder in a ClickHouse server, which may be away: a queue per table, bounded, and a task that empties it.

    Make it on the event loop. Connects at the first row, and again after an outage.
    """

    def __init__(
        self, dsn: ClickHouseDsn, limits: Limits | None = None, insert_within: timedelta = INSERT_WITHIN
    ) -> None:
        self._connection = Connection(dsn)
        self._insert_within = insert_within
        self._steps, self._lines = (
            Batches(table.name, partial(self._insert, table), limits or Limits()) for table in (_STEPS, _LINES)
        )

    @property
    def lost_rows(self) -> int:
        return self._steps.lost_rows + self._lines.lost_rows

    def add_lines(self, of: BuildOf, lines: Iterable[BuildLogLine]) -> None:
        self._lines.add((*of, line.step_id, line.time_ms, _encoded(line.message)) for line in lines)

    def add_steps(self, of: BuildOf, steps: Iterable[BuildStep]) -> None:
        self._steps.add(
            (
                *of,
                step.step_id,
                step.started_at_ms,
                step.completed_at_ms,
                _encoded(step.name),
                step.cached,
                _encoded(step.error),
                step.has_logs,
            )
            for step in steps
        )

    def flush_soon(self) -> None:
        self._steps.flush_soon()
        self._lines.flush_soon()

    async def close(self, within: timedelta) -> None:
        await asyncio.gather(self._steps.close(within), self._lines.close(within))
        await self._connection.close()

    async def _insert(self, table: _Table, rows: list[Row]) -> None:
        try:
            async with asyncio.timeout(self._insert_within.total_seconds()):
                client = await self._connection.client()
                await client.insert(
                    table.name,
                    rows,
                    column_names=list(table.columns),
                    column_type_names=list(table.columns.values()),
                    settings=_SETTINGS,
                )
        except (ClickHouseError, aiohttp.ClientError, OSError) as error:  # a TimeoutError is an OSError
            raise unavailable(error, table.name) from None


def _encoded(text: str) -> bytes:
    """Encode what a build wrote: half a surrogate pair has no encoding, and must not cost the batch."""
    return text.encode(errors="replace")
