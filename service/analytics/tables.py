"""The tables of the reference in ClickHouse (03 · 4.1 to 4.3), for the embedded engine and for tests.

The service never creates them on an operator's server: there they belong to the reference's migrations.
"""

from typing import Final

from service.analytics.client import connect
from service.analytics.dsn import ClickHouseDsn

_SETTINGS: Final = "SETTINGS index_granularity = 8192, non_replicated_deduplication_window = 10000"

_BUILD_STEPS: Final = f"""
CREATE TABLE IF NOT EXISTS default.build_steps_v1
(
    step_id String,
    started_at Int64 CODEC(Delta, LZ4),
    completed_at Int64 CODEC(Delta, LZ4),
    workspace_id String,
    project_id String,
    deployment_id String,
    name String,
    cached Bool,
    error String,
    has_logs Bool
)
ENGINE = MergeTree
ORDER BY (workspace_id, project_id, deployment_id)
TTL toDateTime(fromUnixTimestamp64Milli(started_at)) + INTERVAL 3 MONTH DELETE
{_SETTINGS}
"""

_BUILD_STEP_LOGS: Final = f"""
CREATE TABLE IF NOT EXISTS default.build_step_logs_v1
(
    time Int64 CODEC(Delta, LZ4),
    workspace_id String,
    project_id String,
    deployment_id String,
    message String,
    step_id String
)
ENGINE = MergeTree
ORDER BY (workspace_id, project_id, deployment_id, step_id)
TTL toDateTime(fromUnixTimestamp64Milli(time)) + INTERVAL 3 MONTH DELETE
{_SETTINGS}
"""

_SENTINEL_REQUESTS: Final = f"""
CREATE TABLE IF NOT EXISTS default.sentinel_requests_raw_v1
(
    request_id String,
    time Int64 CODEC(Delta, LZ4),
    workspace_id String,
    environment_id String,
    project_id String,
    sentinel_id String,
    deployment_id String,
    instance_id String,
    instance_address String,
    region LowCardinality(String),
    method LowCardinality(String),
    host String,
    path String,
    query_string String,
    query_params Map(String, Array(String)),
    request_headers Array(String),
    request_body String,
    response_status Int32,
    response_headers Array(String),
    response_body String,
    user_agent String,
    ip_address String,
    total_latency Int64,
    instance_latency Int64,
    sentinel_latency Int64,
    INDEX idx_request_id request_id TYPE bloom_filter GRANULARITY 1,
    INDEX idx_deployment_id deployment_id TYPE bloom_filter GRANULARITY 1,
    INDEX idx_instance_id instance_id TYPE bloom_filter GRANULARITY 1,
    INDEX idx_sentinel_id sentinel_id TYPE bloom_filter GRANULARITY 1
)
ENGINE = MergeTree
ORDER BY (workspace_id, project_id, environment_id, time, deployment_id)
TTL toDateTime(fromUnixTimestamp64Milli(time)) + INTERVAL 30 DAY DELETE
{_SETTINGS}
"""


async def create_tables(dsn: ClickHouseDsn) -> None:
    """Create the tables that are missing. Raises ClickHouse's own errors."""
    client = await connect(dsn)
    try:
        for statement in (_BUILD_STEPS, _BUILD_STEP_LOGS, _SENTINEL_REQUESTS):
            await client.command(statement)
    finally:
        await client.close()
