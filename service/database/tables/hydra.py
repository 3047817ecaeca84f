"""Our own tables: operations, traffic switches, claims on deployments, region versions (06 · decisions 2, 3, 8).

Times are Unix milliseconds. The widths of ids are the widest that the reference has for them.
"""

from sqlalchemy import BigInteger, Boolean, Integer, String

from service.database.tables.schema import key, optional, ours, required, surrogate, table
from service.database.tables.types import Choice, Json, OperationId, UnsignedBigInteger

# The steps of `service.database.migrations` that this database has seen.
hydra_schema = table(ours, "hydra_schema", [key("version", Integer()), required("applied_at", BigInteger())])

# What was asked, by whom, and how it ended. The id is Restate's invocation id.
hydra_operations = table(
    ours,
    "hydra_operations",
    [
        key("id", OperationId),
        required("kind", Choice("deploy", "rollback", "promote", "scale_down", "desired_state")),
        required("caller", String(256), "''"),
        optional("workspace_id", String(256)),
        optional("project_id", String(256)),
        optional("app_id", String(64)),
        optional("environment_id", String(128)),
        optional("deployment_id", String(128)),
        optional("from_deployment_id", String(128)),
        optional("to_deployment_id", String(128)),
        required("state", Choice("running", "succeeded", "failed", "cancelled")),
        optional("reason", String(64)),
        optional("message", String(512)),
        optional("detail", Json()),
        required("started_at", BigInteger()),
        optional("ended_at", BigInteger()),
    ],
    indexes={
        "app_idx": ["app_id", "started_at"],
        "deployment_idx": ["deployment_id"],
        "state_idx": ["state", "started_at"],
    },
)

# Which operation works on a deployment: one at a time (02 · 7).
hydra_deployment_attempts = table(
    ours,
    "hydra_deployment_attempts",
    [
        key("deployment_id", String(128)),
        required("attempt", Integer()),
        required("operation_id", OperationId),
        required("state", Choice("running", "succeeded", "failed")),
        required("updated_at", BigInteger()),
    ],
)

# The build of a deploy: who executes it, what it made. One per operation, however often it is begun again.
hydra_builds = table(
    ours,
    "hydra_builds",
    [
        key("operation_id", OperationId),
        required("deployment_id", String(128)),
        required("state", Choice("running", "succeeded", "failed")),
        required("executions", Integer()),
        required("failures", Integer()),
        required("lease_until", BigInteger()),
        optional("build_id", String(128)),
        optional("commit_sha", String(40)),
        optional("image", String(256)),
        optional("digest", String(128)),
        required("started_at", BigInteger()),
        optional("ended_at", BigInteger()),
    ],
    indexes={"deployment_idx": ["deployment_id"]},
)

# One row per operation that moved traffic, or was reverted before it could.
hydra_traffic_switches = table(
    ours,
    "hydra_traffic_switches",
    [
        key("operation_id", OperationId),
        required("app_id", String(64)),
        required("environment_id", String(128)),
        required("deployment_id", String(128)),
        required("kind", Choice("deploy", "rollback", "promote")),
        optional("previous_deployment_id", String(256)),
        optional("previous_is_rolled_back", Boolean()),
        optional("live_deployment_id", String(256)),
        required("is_rolled_back", Boolean()),
        required("result", Json()),
        optional("switched_at", BigInteger()),
        optional("reverted_at", BigInteger()),
    ],
    indexes={"app_idx": ["app_id", "switched_at"]},
)

# Which routes a switch moved, and whose they were.
hydra_route_moves = table(
    ours,
    "hydra_route_moves",
    [
        surrogate(),
        required("operation_id", OperationId),
        required("route_id", String(128)),
        required("fully_qualified_domain_name", String(256)),
        required("previous_deployment_id", String(255)),
        required("deployment_id", String(255)),
    ],
    unique={"operation_route_unique": ["operation_id", "route_id"]},
    indexes={"route_idx": ["route_id"]},
)

# The last version given out in each region.
hydra_region_versions = table(
    ours,
    "hydra_region_versions",
    [key("region_id", String(64)), required("version", UnsignedBigInteger)],
)
