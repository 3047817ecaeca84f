"""Which deployments were called lately, from the sentinels' log of requests in ClickHouse (03 · 4.3, 4.4).

Silence is not idleness: a log that nobody has written to for a while says nothing of who was called.
"""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Protocol

import aiohttp
from clickhouse_connect.driver.exceptions import ClickHouseError
from clickhouse_connect.driver.external import ExternalData

from service.analytics.client import Connection, unavailable
from service.analytics.dsn import ClickHouseDsn
from service.clock import now_ms
from service.errors import FailedPrecondition, Transient

ANSWER_WITHIN = timedelta(seconds=10)

# The first three columns lead the table's order, so that only their environments are read, from that time on.
# An aggregate has one row, come what may: an answer without one is not "nobody called". Nor is the part that a
# user's profile may allow in place of an error, hence the settings.
ACTIVE_QUERY = """
SELECT groupUniqArray(deployment_id)
FROM default.sentinel_requests_raw_v1
WHERE (workspace_id, project_id, environment_id, deployment_id) IN asked AND time >= {since_ms:Int64}
SETTINGS read_overflow_mode = 'throw', timeout_overflow_mode = 'throw', set_overflow_mode = 'throw'
"""
# No index leads to a time alone. The first row that is new enough ends the search, and the column is a narrow one.
_WRITTEN_QUERY = """
SELECT 1
FROM default.sentinel_requests_raw_v1
WHERE time BETWEEN {since_ms:Int64} AND {until_ms:Int64}
LIMIT 1
SETTINGS read_overflow_mode = 'throw', timeout_overflow_mode = 'throw'
"""
_NEWEST_QUERY = """
SELECT max(time)
FROM default.sentinel_requests_raw_v1
WHERE time <= {until_ms:Int64}
SETTINGS read_overflow_mode = 'throw', timeout_overflow_mode = 'throw'
"""
_TABLE = "default.sentinel_requests_raw_v1"
_LOOKS = 10  # at the log, within the time for which it may stand still


class Routed(NamedTuple):
    """A deployment, and where its requests are filed."""

    workspace_id: str
    project_id: str
    environment_id: str
    deployment_id: str


class RequestLog(Protocol):
    """What sentinels wrote down of the requests that deployments served."""

    async def active(self, deployments: Sequence[Routed], since_ms: int) -> set[str]:
        """Return the ids of those that were called at `since_ms` (Unix milliseconds) or later.

        Raises Transient when nobody can tell, and FailedPrecondition when nobody ever will.
        """
        ...

    async def require_alive(self) -> None:
        """Raise FailedPrecondition where the log has stood still for too long, and Transient when nobody can tell."""
        ...

    async def close(self) -> None: ...


class NullRequests:
    """The log where no ClickHouse is configured. It does not say that nobody called: it says that it cannot know."""

    async def active(self, deployments: Sequence[Routed], since_ms: int) -> set[str]:  # noqa: ARG002 - the protocol's
        raise _not_configured()

    async def require_alive(self) -> None:
        raise _not_configured()

    async def close(self) -> None:
        """Nothing is open."""


class ClickHouseRequests:
    """The log in a ClickHouse server. Connects at the first question, and again after an outage.

    It may stand still for `max_age`, of all deployments together; 0 is for ever.
    """

    def __init__(self, dsn: ClickHouseDsn, max_age: timedelta, answer_within: timedelta = ANSWER_WITHIN) -> None:
        self._connection = Connection(dsn)
        self._max_age = max_age
        self._answer_within = answer_within
        self._seen_alive: float | None = None  # by the event loop's clock

    async def active(self, deployments: Sequence[Routed], since_ms: int) -> set[str]:
        """Ask for all of them in one query, thousands too, and for no longer than `answer_within`."""
        if not deployments:
            return set()
        (row,) = await self._aggregate(ACTIVE_QUERY, {"since_ms": since_ms}, external_table(deployments))
        return set(row)

    async def require_alive(self) -> None:
        """Look for a row that is new enough, ten times within `max_age` at most, however often it is called.

        A row of a later time than now keeps the log alive no longer than one of now: it tells of a clock that is ahead.
        """
        clock = asyncio.get_running_loop().time
        seen, max_age_s = self._seen_alive, self._max_age.total_seconds()
        if not max_age_s or (seen is not None and clock() - seen < max_age_s / _LOOKS):
            return
        asked, now, max_age_ms = clock(), now_ms(), int(max_age_s * 1000)
        until = {"until_ms": now + max_age_ms}
        if await self._ask(_WRITTEN_QUERY, {"since_ms": now - max_age_ms, **until}):
            self._seen_alive = asked
            return
        (newest_ms,) = await self._aggregate(_NEWEST_QUERY, until)
        raise _stale(newest_ms)

    async def _aggregate(self, query: str, parameters: dict[str, int], asked: ExternalData | None = None) -> Any:
        """Ask for what is one row, come what may."""
        rows = await self._ask(query, parameters, asked)
        if len(rows) != 1:
            raise Transient("ClickHouse gave no answer", reason="CLICKHOUSE_UNAVAILABLE")
        return rows[0]

    async def _ask(self, query: str, parameters: dict[str, int], asked: ExternalData | None = None) -> Sequence[Any]:
        try:
            async with asyncio.timeout(self._answer_within.total_seconds()):
                client = await self._connection.client()
                found = await client.query(query, parameters=parameters, external_data=asked)
        except (ClickHouseError, aiohttp.ClientError, OSError) as error:  # a TimeoutError is an OSError
            raise unavailable(error, _TABLE) from None
        return found.result_rows

    async def close(self) -> None:
        """Close the connections, once the questions that are under way have ended."""
        await self._connection.close()


def external_table(deployments: Sequence[Routed]) -> ExternalData:
    """Make the table `asked`, sent with the query: a parameter ends at 128 KiB, and 5,000 deployments are 300 KiB."""
    rows = "\n".join(json.dumps(routed) for routed in deployments)
    structure = [f"{column} String" for column in Routed._fields]
    return ExternalData(file_name="asked", data=rows.encode(), fmt="JSONCompactEachRow", structure=structure)


def _not_configured() -> FailedPrecondition:
    return FailedPrecondition(
        "without ClickHouse nobody can tell which deployments are idle: set clickhouse.url",
        reason="CLICKHOUSE_NOT_CONFIGURED",
    )


def _stale(newest_ms: int) -> FailedPrecondition:
    if newest_ms > 0:
        since = datetime.fromtimestamp(newest_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        stands = f"the request log has stood still since {since}"
    else:
        stands = "the request log is empty"
    return FailedPrecondition(
        f"{stands}: nobody can tell who was called, so nothing is put to standby. Do the sentinels reach ClickHouse, "
        f"and does it take their rows into {_TABLE}? "
        "Where really nobody calls for so long, raise deploy.request_log_max_age",
        reason="REQUEST_LOG_STALE",
    )
