"""Who owns what: workspaces, their quota, projects, apps, environments (03 · 1.1 to 1.5)."""

from sqlalchemy import BigInteger, Boolean, Integer, String

from service.database.tables.schema import optional, reference, required, surrogate, table
from service.database.tables.types import Choice, Json, UnsignedInteger

workspaces = table(
    reference,
    "workspaces",
    [
        surrogate(),
        required("id", String(256)),
        required("org_id", String(256)),
        required("name", String(256)),
        required("slug", String(64)),
        optional("k8s_namespace", String(256)),
        optional("partition_id", String(256)),
        optional("plan", Choice("free", "pro", "enterprise"), "'free'"),
        optional("tier", String(256), "'Free'"),
        optional("stripe_customer_id", String(256)),
        optional("stripe_subscription_id", String(256)),
        required("beta_features", Json()),
        required("features", Json()),
        optional("subscriptions", Json()),
        required("enabled", Boolean(), "true"),
        optional("delete_protection", Boolean(), "false"),
        required("created_at_m", BigInteger(), "0"),
        optional("updated_at_m", BigInteger()),
        optional("deleted_at_m", BigInteger()),
    ],
    unique={
        "workspaces_id_unique": ["id"],
        "workspaces_org_id_unique": ["org_id"],
        "workspaces_slug_unique": ["slug"],
        "workspaces_k8s_namespace_unique": ["k8s_namespace"],
    },
)

quota = table(
    reference,
    "quota",
    [
        surrogate(),
        required("workspace_id", String(256)),
        required("requests_per_month", BigInteger(), "0"),
        required("logs_retention_days", Integer(), "0"),
        required("audit_logs_retention_days", Integer(), "0"),
        required("team", Boolean(), "false"),
        optional("ratelimit_api_limit", UnsignedInteger),
        optional("ratelimit_api_duration", UnsignedInteger),
        required("allocated_cpu_millicores_total", UnsignedInteger, "10240"),
        required("allocated_memory_mib_total", UnsignedInteger, "20480"),
    ],
    unique={"quota_workspace_id_unique": ["workspace_id"]},
)

projects = table(
    reference,
    "projects",
    [
        surrogate(),
        required("id", String(64)),
        required("workspace_id", String(256)),
        required("name", String(256)),
        required("slug", String(256)),
        optional("depot_project_id", String(255)),
        optional("delete_protection", Boolean(), "false"),
        required("created_at", BigInteger()),
        optional("updated_at", BigInteger()),
    ],
    unique={"projects_id_unique": ["id"], "workspace_slug_idx": ["workspace_id", "slug"]},
)

apps = table(
    reference,
    "apps",
    [
        surrogate(),
        required("id", String(64)),
        required("workspace_id", String(256)),
        required("project_id", String(64)),
        required("name", String(256)),
        required("slug", String(256)),
        required("default_branch", String(256), "'main'"),
        optional("current_deployment_id", String(256)),
        required("is_rolled_back", Boolean(), "false"),
        optional("delete_protection", Boolean(), "false"),
        required("created_at", BigInteger()),
        optional("updated_at", BigInteger()),
    ],
    unique={"apps_id_unique": ["id"], "apps_project_slug_idx": ["project_id", "slug"]},
    indexes={"apps_workspace_idx": ["workspace_id"]},
)

environments = table(
    reference,
    "environments",
    [
        surrogate(),
        required("id", String(128)),
        required("workspace_id", String(256)),
        required("project_id", String(256)),
        required("app_id", String(64)),
        required("slug", String(256)),
        required("description", String(255), "''"),
        optional("delete_protection", Boolean(), "false"),
        required("created_at", BigInteger()),
        optional("updated_at", BigInteger()),
    ],
    unique={"environments_id_unique": ["id"], "environments_app_slug_idx": ["app_id", "slug"]},
    indexes={"environments_project_idx": ["project_id"]},
)
