"""The tables are the reference's, to the letter (03 · 4.1 to 4.3)."""

from clickhouse_connect.driver.asyncclient import AsyncClient

from service.analytics.dsn import ClickHouseDsn
from service.analytics.tables import create_tables
from service.clock import now_ms

# In the order of creation; columns without a type are a String. Times are packed as differences.
COLUMNS = {
    "build_steps_v1": """
        step_id, started_at Int64, completed_at Int64, workspace_id, project_id, deployment_id, name, cached Bool,
        error, has_logs Bool
    """,
    "build_step_logs_v1": "time Int64, workspace_id, project_id, deployment_id, message, step_id",
    "sentinel_requests_raw_v1": """
        request_id, time Int64, workspace_id, environment_id, project_id, sentinel_id, deployment_id, instance_id,
        instance_address, region LowCardinality(String), method LowCardinality(String), host, path, query_string,
        query_params Map(String; Array(String)), request_headers Array(String), request_body, response_status Int32,
        response_headers Array(String), response_body, user_agent, ip_address, total_latency Int64,
        instance_latency Int64, sentinel_latency Int64
    """,
}
PACKED = {"started_at", "completed_at", "time"}
ORDER = {
    "build_steps_v1": "workspace_id, project_id, deployment_id",
    "build_step_logs_v1": "workspace_id, project_id, deployment_id, step_id",
    "sentinel_requests_raw_v1": "workspace_id, project_id, environment_id, time, deployment_id",
}
TTL = {
    "build_steps_v1": "TTL toDateTime(fromUnixTimestamp64Milli(started_at)) + toIntervalMonth(3)",
    "build_step_logs_v1": "TTL toDateTime(fromUnixTimestamp64Milli(time)) + toIntervalMonth(3)",
    "sentinel_requests_raw_v1": "TTL toDateTime(fromUnixTimestamp64Milli(time)) + toIntervalDay(30)",
}
INDEXED = ("request_id", "deployment_id", "instance_id", "sentinel_id")


async def test_columns(client: AsyncClient) -> None:
    found = await client.query(
        "SELECT table, name, type, compression_codec, default_kind FROM system.columns WHERE database = 'default'"
        " ORDER BY table, position"
    )
    expected = []
    for table, text in sorted(COLUMNS.items()):
        for column in text.split(","):
            name, _, type_ = column.strip().partition(" ")
            codec = "CODEC(Delta(8), LZ4)" if name in PACKED else ""
            expected.append((table, name, type_.replace(";", ",") or "String", codec, ""))
    assert list(found.result_rows) == expected


async def test_engine_order_settings_and_end_of_life(client: AsyncClient) -> None:
    found = await client.query(
        "SELECT name, engine, sorting_key, primary_key, partition_key, engine_full FROM system.tables"
        " WHERE database = 'default'"
    )
    assert {row[0] for row in found.result_rows} == ORDER.keys()
    for name, engine, sorting_key, primary_key, partition_key, full in found.result_rows:
        assert engine == "MergeTree"
        assert sorting_key == primary_key == ORDER[name]
        assert partition_key == ""
        assert TTL[name] in full
        assert "index_granularity = 8192" in full
        assert "non_replicated_deduplication_window = 10000" in full


async def test_skip_indexes(client: AsyncClient) -> None:
    found = await client.query(
        "SELECT table, name, expr, type, granularity FROM system.data_skipping_indices ORDER BY name"
    )
    expected = [("sentinel_requests_raw_v1", f"idx_{name}", name, "bloom_filter", 1) for name in sorted(INDEXED)]
    assert list(found.result_rows) == expected


async def test_tables_that_exist_are_left_alone(client: AsyncClient, dsn: ClickHouseDsn, workspace: str) -> None:
    row = [workspace, now_ms()]
    await client.insert("default.build_step_logs_v1", [row], column_names=["workspace_id", "time"])
    await create_tables(dsn)
    kept = "SELECT count() FROM default.build_step_logs_v1 WHERE workspace_id = {workspace:String}"
    assert await client.command(kept, parameters={"workspace": workspace}) == 1
