"""Which deployments were called lately, from the sentinels' log of requests in ClickHouse (03 · 4.3, 4.4)."""

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple, Protocol

import aiohttp
from clickhouse_connect.driver.exceptions import ClickHouseError
from clickhouse_connect.driver.external import ExternalData

from service.analytics.client import Connection, unavailable
from service.analytics.dsn import ClickHouseDsn
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
_TABLE = "default.sentinel_requests_raw_v1"


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

    async def close(self) -> None: ...


class NullRequests:
    """The log where no ClickHouse is configured. It does not say that nobody called: it says that it cannot know."""

    async def active(self, deployments: Sequence[Routed], since_ms: int) -> set[str]:  # noqa: ARG002 - the protocol's
        raise FailedPrecondition(
            "without ClickHouse nobody can tell which deployments are idle: set clickhouse.url",
            reason="CLICKHOUSE_NOT_CONFIGURED",
        )

    async def close(self) -> None:
        """Nothing is open."""


class ClickHouseRequests:
    """The log in a ClickHouse server. Connects at the first question, and again after an outage."""

    def __init__(self, dsn: ClickHouseDsn, answer_within: timedelta = ANSWER_WITHIN) -> None:
        self._connection = Connection(dsn)
        self._answer_within = answer_within

    async def active(self, deployments: Sequence[Routed], since_ms: int) -> set[str]:
        """Ask for all of them in one query, thousands too, and for no longer than `answer_within`."""
        if not deployments:
            return set()
        try:
            async with asyncio.timeout(self._answer_within.total_seconds()):
                client = await self._connection.client()
                found = await client.query(
                    ACTIVE_QUERY, parameters={"since_ms": since_ms}, external_data=external_table(deployments)
                )
        except (ClickHouseError, aiohttp.ClientError, OSError) as error:  # a TimeoutError is an OSError
            raise unavailable(error, _TABLE) from None
        if len(found.result_rows) != 1:
            raise Transient("ClickHouse gave no answer", reason="CLICKHOUSE_UNAVAILABLE")
        return set(found.result_rows[0][0])

    async def close(self) -> None:
        """Close the connections, once the questions that are under way have ended."""
        await self._connection.close()


def external_table(deployments: Sequence[Routed]) -> ExternalData:
    """Make the table `asked`, sent with the query: a parameter ends at 128 KiB, and 5,000 deployments are 300 KiB."""
    rows = "\n".join(json.dumps(routed) for routed in deployments)
    structure = [f"{column} String" for column in Routed._fields]
    return ExternalData(file_name="asked", data=rows.encode(), fmt="JSONCompactEachRow", structure=structure)
