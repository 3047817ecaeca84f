"""How ClickHouse is reached: asynchronously all through, over HTTP, without a session. And how its errors leave."""

import asyncio

from clickhouse_connect import get_async_client
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import Error

from service.analytics.dsn import ClickHouseDsn
from service.errors import Transient

_CONNECT_TIMEOUT_S = 5  # as the reference's (03 · 4.5)
_CLIENT_NAME = "hydra-deploy"  # in ClickHouse's log of queries

# https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp
_REFUSALS = {
    60: "ClickHouse has no table {table}",
    81: "ClickHouse has no database of the name that clickhouse.url gives",
    497: "ClickHouse refuses this user the table {table}",
    516: "ClickHouse refuses the user or the password",
}
_REFUSALS_OF_USERS = frozenset({"192", "193", "194", "195", "497", "516"})


async def connect(dsn: ClickHouseDsn) -> AsyncClient:
    """Connect and learn the server's version and settings. Raises what clickhouse-connect raises.

    Any number of queries may run at once: the sessions that the library makes by itself would forbid that.
    """
    return await get_async_client(
        host=dsn.host,
        port=dsn.port,
        interface="https" if dsn.secure else "http",
        username=dsn.user,
        password=dsn.password,
        database=dsn.database,
        verify=dsn.verify,
        connect_timeout=_CONNECT_TIMEOUT_S,
        client_name=_CLIENT_NAME,
        autogenerate_session_id=False,
    )


class Connection:
    """A client that is made at its first use and kept; it connects again by itself after an outage."""

    def __init__(self, dsn: ClickHouseDsn) -> None:
        self._dsn = dsn
        self._client: AsyncClient | None = None
        self._connecting = asyncio.Lock()

    async def client(self) -> AsyncClient:
        """Return the client. Raises what clickhouse-connect raises, and tries again the next time."""
        async with self._connecting:
            if self._client is None:
                self._client = await connect(self._dsn)
            return self._client

    async def close(self) -> None:
        """Close the connections, once what is under way on them has ended."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()


def unavailable(error: Exception, table: str) -> Transient:
    """Return the error for callers. Neither its text nor its facts hold an address, a user or what the server said."""
    if isinstance(error, TimeoutError):
        return Transient("ClickHouse did not answer in time", reason="CLICKHOUSE_UNAVAILABLE")
    code = error.code if isinstance(error, Error) else None
    message = _REFUSALS.get(code or 0, "ClickHouse is not available at the moment").format(table=table)
    facts = {} if code is None else {"code": str(code)}
    return Transient(message, reason="CLICKHOUSE_UNAVAILABLE", **facts)


def refuses_user(error: Transient) -> bool:
    """Tell whether the server refused who asked: it would again."""
    return error.facts.get("code") in _REFUSALS_OF_USERS
