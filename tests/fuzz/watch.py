"""What bad input must never do to a running installation, as seen from outside."""

import asyncio
import re
from typing import Any

from sqlalchemy import Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database import tables
from service.database.operations import OperationState
from tests.installation import Installation
from tests.waiting import until

_WITHIN_S = 20
_SOON = "now() + interval '60 seconds'"
_UNFINISHED = f"status <> 'completed' and (status <> 'scheduled' or scheduled_start_at < {_SOON})"
_TRACEBACK = "Traceback (most recent call last)"
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x80-\x9f]")  # what a terminal takes for an order
_EXCERPT = 3000

Rows = dict[str, set[str]]


class Watch:
    """Compares an installation with what it was: its rows, its log, its process, its invocations."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._log = installation.stack.worker_log
        self._rows: Rows = {}
        self._stuck: set[str] = set()
        self._read_to = 0

    async def begin(self) -> None:
        """Wait until nothing of earlier tests is under way, and remember how things are."""

        async def quiet() -> bool:
            return not await self._unfinished()

        await until(quiet)
        self._rows = await self._all_rows()
        self._read_to = self._log.stat().st_size

    async def complaints(self) -> list[str]:
        """Tell what has changed since the last look; each thing is told once."""
        return [*self._died(), *await self._left_behind(), *self._logged(), *await self._changed()]

    def _died(self) -> list[str]:
        code = self._installation.stack.worker.exit_code
        return [] if code is None else [f"the worker has ended with {code}"]

    def _logged(self) -> list[str]:
        with self._log.open(encoding="utf-8", errors="replace") as log:
            log.seek(self._read_to)
            text = log.read()
            self._read_to = log.tell()
        found = []
        if _TRACEBACK in text:
            start = text.index(_TRACEBACK)
            found.append(f"a traceback in the log: {text[max(0, start - 300) : start + _EXCERPT]}")
        if control := _CONTROL.search(text):
            start = control.start()
            found.append(f"a control character in the log: {text[max(0, start - 200) : start + 20]!a}")
        return found

    async def _left_behind(self) -> list[str]:
        async def ended() -> bool:
            return not {row["id"] for row in await self._unfinished()} - self._stuck

        try:
            await asyncio.wait_for(until(ended), _WITHIN_S)
        except TimeoutError:
            left = [row for row in await self._unfinished() if row["id"] not in self._stuck]
            self._stuck |= {row["id"] for row in left}
            return [f"an invocation does not end: {row}" for row in left]
        return []

    async def _unfinished(self) -> list[dict[str, Any]]:
        return await self._installation.admin_query(
            f"select id, target, status, retry_count, last_failure from sys_invocation where {_UNFINISHED}"
        )

    async def _changed(self) -> list[str]:
        before, self._rows = self._rows, await self._all_rows()
        return [
            f"{name} has other rows: {sorted(before[name] ^ self._rows[name])[:3]}"
            for name in before
            if before[name] != self._rows[name]
        ]

    async def _all_rows(self) -> Rows:
        """Read all but what agents write, and the record of operations that were refused: that is to grow."""

        async def work(conn: AsyncConnection) -> Rows:
            return {table.name: await _rows(conn, table) for table in _TABLES}

        return await self._installation.database.read(work)


_OF_AGENTS = {tables.sentinels: ("health", "available_replicas", "updated_at")}
_TABLES = [
    table
    for table in (*tables.reference.sorted_tables, *tables.ours.sorted_tables)
    if table not in (tables.instances, tables.clusters)
]


async def _rows(conn: AsyncConnection, table: Table) -> set[str]:
    query = select(*(column for column in table.c if column.name not in _OF_AGENTS.get(table, ())))
    if table is tables.hydra_operations:
        query = query.where(table.c.state != OperationState.FAILED.value)
    return {str(tuple(row)) for row in await conn.execute(query)}
