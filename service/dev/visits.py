"""Requests to deployments, logged as sentinels log them."""

from service.analytics.client import connect
from service.analytics.dsn import ClickHouseDsn
from service.analytics.requests import Routed


async def log_visit(dsn: ClickHouseDsn, routed: Routed, at_ms: int) -> None:
    """Log one request to a deployment; what a sweep does not ask for stays empty."""
    client = await connect(dsn)
    try:
        await client.insert(
            "default.sentinel_requests_raw_v1", [[*routed, at_ms]], column_names=[*Routed._fields, "time"]
        )
    finally:
        await client.close()
