"""What builds left behind in ClickHouse, read back: the steps and lines of one deployment (03 · 4.1, 4.2)."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import aiohttp
from clickhouse_connect.driver.exceptions import ClickHouseError

from service.analytics.client import Connection, unavailable
from service.analytics.dsn import ClickHouseDsn
from service.domain.build import BuildLogLine, BuildOf, BuildStep

T = TypeVar("T")

ANSWER_WITHIN = timedelta(seconds=30)
PAGE_LINES = 5000

# How far behind a newer line one may still be written: a batch takes 165 s of attempts and pauses before it is lost,
# and the machines of two attempts need not have the same time.
LATENESS = timedelta(minutes=5)

_BEGINNING_MS = -(2**63)

# Within a millisecond, rows are in the order in which they were written: parts are numbered so, and neither the sort of
# a part nor a merge moves rows that are equal in the table's order. A part is called all_<first block>_<last>_<level>.
# A part of the answer, which a user's profile may allow in place of an error, would pass for all of it: the settings.
STEPS_QUERY = """
SELECT step_id, toValidUTF8(name), started_at, completed_at, cached, toValidUTF8(error), has_logs
FROM default.build_steps_v1
WHERE workspace_id = {workspace_id:String} AND project_id = {project_id:String}
    AND deployment_id = {deployment_id:String}
ORDER BY started_at, toUInt64(splitByChar('_', _part)[2]), _part_offset
SETTINGS read_overflow_mode = 'throw', timeout_overflow_mode = 'throw', result_overflow_mode = 'throw'
"""
# A page ends with a millisecond: the next one begins after it, and no line is in both or in neither.
LINES_QUERY = """
WITH lines AS (
    SELECT step_id, time, message, toUInt64(splitByChar('_', _part)[2]) AS block, _part_offset AS offset
    FROM default.build_step_logs_v1
    WHERE workspace_id = {workspace_id:String} AND project_id = {project_id:String}
        AND deployment_id = {deployment_id:String} AND time >= {from_ms:Int64}
)
SELECT step_id, time, toValidUTF8(message)
FROM lines
WHERE time <= (SELECT max(time) FROM (SELECT time FROM lines ORDER BY time LIMIT {at_least:UInt64}))
ORDER BY time, block, offset
SETTINGS read_overflow_mode = 'throw', timeout_overflow_mode = 'throw', result_overflow_mode = 'throw'
"""


class BuildHistory:
    """The steps and lines in a ClickHouse server. A build that was tried again left those of every attempt.

    All raise Transient where the server cannot answer.
    """

    def __init__(self, dsn: ClickHouseDsn, answer_within: timedelta = ANSWER_WITHIN) -> None:
        self._connection = Connection(dsn)
        self._answer_within = answer_within

    async def steps(self, of: BuildOf) -> list[BuildStep]:
        """Read the steps that ended, in the order of their start."""
        rows = await self._rows("default.build_steps_v1", STEPS_QUERY, of._asdict())
        return [BuildStep(*row) for row in rows]

    async def lines(self, of: BuildOf, from_ms: int = _BEGINNING_MS, at_least: int = PAGE_LINES) -> list[BuildLogLine]:
        """Read lines from a time on, in time order: so many, where there are, and all of the last one's millisecond."""
        asked = {**of._asdict(), "from_ms": from_ms, "at_least": at_least}
        return [BuildLogLine(*row) for row in await self._rows("default.build_step_logs_v1", LINES_QUERY, asked)]

    async def close(self) -> None:
        await self._connection.close()

    async def _rows(self, table: str, query: str, parameters: dict[str, Any]) -> Sequence[Sequence[Any]]:
        try:
            async with asyncio.timeout(self._answer_within.total_seconds()):
                client = await self._connection.client()
                return (await client.query(query, parameters=parameters)).result_rows
        except (ClickHouseError, aiohttp.ClientError, OSError) as error:  # a TimeoutError is an OSError
            raise unavailable(error, table) from None


class BuildTail:
    """What is new of one deployment's build since the last look. Nothing is given twice, or left out for coming late.

    A row has no number and may be written after one of a later time, so each look goes back by `LATENESS` and takes
    away what was given before. Rows that are equal are counted: a build may well write the same twice.
    """

    def __init__(self, history: BuildHistory, of: BuildOf, page_lines: int = PAGE_LINES) -> None:
        self._history = history
        self._of = of
        self._page_lines = page_lines
        self._steps: Counter[BuildStep] = Counter()
        self._lines: Counter[BuildLogLine] = Counter()
        self._newest_ms = _BEGINNING_MS

    async def steps(self) -> list[BuildStep]:
        """Read the new steps, in the order of their start."""
        known = self._steps.copy()
        found = await self._history.steps(self._of)
        self._steps = Counter(found)
        return _unknown(found, known)

    async def lines(self) -> AsyncIterator[list[BuildLogLine]]:
        """Read the new lines, page by page, in time order. Read to the end before the next look."""
        from_ms = max(self._newest_ms - LATENESS // timedelta(milliseconds=1), _BEGINNING_MS)
        self._lines = Counter({line: count for line, count in self._lines.items() if line.time_ms >= from_ms})
        known = self._lines.copy()
        while page := await self._history.lines(self._of, from_ms, self._page_lines):
            fresh = _unknown(page, known)
            self._lines.update(fresh)
            self._newest_ms = max(self._newest_ms, page[-1].time_ms)
            from_ms = page[-1].time_ms + 1
            yield fresh
            if len(page) < self._page_lines:
                break


def _unknown(found: list[T], known: Counter[T]) -> list[T]:
    """Leave out what is known, as many times as it is; uses `known` up."""
    fresh = []
    for row in found:
        if known[row]:
            known[row] -= 1
        else:
            fresh.append(row)
    return fresh
