"""How a client of ClickHouse is made: asynchronous all through, over HTTP, without a session."""

from clickhouse_connect import get_async_client
from clickhouse_connect.driver.asyncclient import AsyncClient

from service.analytics.dsn import ClickHouseDsn

_CONNECT_TIMEOUT_S = 5  # as the reference's (03 · 4.5)
_CLIENT_NAME = "hydra-deploy"  # in ClickHouse's log of queries


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
