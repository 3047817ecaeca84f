"""What an app's environment is configured to be: build, runtime, regions, variables (03 · 1.6 to 1.8, 1.19)."""

from sqlalchemy import BigInteger, Boolean, Integer, String

from service.database.tables.schema import optional, reference, required, surrogate, table
from service.database.tables.types import Choice, Json, LongBlob, TinyInteger

EMPTY_LIST = "('[]')"
SHUTDOWN_SIGNALS = ("SIGTERM", "SIGINT", "SIGQUIT", "SIGKILL")

app_build_settings = table(
    reference,
    "app_build_settings",
    [
        surrogate(),
        required("workspace_id", String(256)),
        required("app_id", String(64)),
        required("environment_id", String(128)),
        required("dockerfile", String(500), "'Dockerfile'"),
        required("docker_context", String(500), "'.'"),
        required("watch_paths", Json(), EMPTY_LIST),
        required("created_at", BigInteger()),
        optional("updated_at", BigInteger()),
    ],
    unique={"app_build_settings_app_env_idx": ["app_id", "environment_id"]},
)

app_runtime_settings = table(
    reference,
    "app_runtime_settings",
    [
        surrogate(),
        required("workspace_id", String(256)),
        required("app_id", String(64)),
        required("environment_id", String(128)),
        required("port", Integer(), "8080"),
        required("cpu_millicores", Integer(), "256"),
        required("memory_mib", Integer(), "256"),
        required("command", Json(), EMPTY_LIST),
        optional("healthcheck", Json()),
        required("shutdown_signal", Choice(*SHUTDOWN_SIGNALS), "'SIGTERM'"),
        required("sentinel_config", LongBlob),
        optional("openapi_spec_path", String(512)),
        required("created_at", BigInteger()),
        optional("updated_at", BigInteger()),
    ],
    unique={"app_runtime_settings_app_env_idx": ["app_id", "environment_id"]},
)

app_regional_settings = table(
    reference,
    "app_regional_settings",
    [
        surrogate(),
        required("workspace_id", String(256)),
        required("app_id", String(64)),
        required("environment_id", String(128)),
        required("region_id", String(64)),
        required("replicas", Integer(), "1"),
        optional("horizontal_autoscaling_policy_id", String(64)),
        required("created_at", BigInteger()),
        optional("updated_at", BigInteger()),
    ],
    unique={"unique_app_env_region": ["app_id", "environment_id", "region_id"]},
    indexes={"workspace_idx": ["workspace_id"]},
)

horizontal_autoscaling_policies = table(
    reference,
    "horizontal_autoscaling_policies",
    [
        surrogate(),
        required("id", String(64)),
        required("workspace_id", String(256)),
        required("replicas_min", Integer()),
        required("replicas_max", Integer()),
        optional("memory_threshold", TinyInteger),
        optional("cpu_threshold", TinyInteger),
        optional("rps_threshold", TinyInteger),
        required("created_at", BigInteger()),
        optional("updated_at", BigInteger()),
    ],
    unique={"horizontal_autoscaling_policies_id_unique": ["id"]},
    indexes={"workspace_idx": ["workspace_id"]},
)

app_environment_variables = table(
    reference,
    "app_environment_variables",
    [
        surrogate(),
        required("id", String(128)),
        required("workspace_id", String(256)),
        required("app_id", String(64)),
        required("environment_id", String(128)),
        required("key", String(256)),
        required("value", String(4096)),
        required("type", Choice("recoverable", "writeonly")),
        optional("description", String(255)),
        optional("delete_protection", Boolean(), "false"),
        required("created_at", BigInteger()),
        optional("updated_at", BigInteger()),
    ],
    unique={
        "app_environment_variables_id_unique": ["id"],
        "app_env_id_key": ["app_id", "environment_id", "key"],
    },
)
