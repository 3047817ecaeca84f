"""What is to run in the regions and what does, as the regional agents see it (03 · 1.11 to 1.15, 1.19)."""

from sqlalchemy import BigInteger, Boolean, Integer, String

from service.database.tables.schema import optional, reference, required, surrogate, table
from service.database.tables.types import Choice, Json, UnsignedBigInteger

deployment_topology = table(
    reference,
    "deployment_topology",
    [
        surrogate(),
        required("workspace_id", String(64)),
        required("deployment_id", String(64)),
        required("region_id", String(64)),
        required("desired_replicas", Integer()),
        required("version", UnsignedBigInteger),
        required("desired_status", Choice("stopped", "running")),
        required("created_at", BigInteger()),
        optional("updated_at", BigInteger()),
    ],
    unique={
        "unique_region_per_deployment": ["deployment_id", "region_id"],
        "unique_version_per_region": ["region_id", "version"],
    },
    indexes={"workspace_idx": ["workspace_id"], "status_idx": ["desired_status"]},
)

instances = table(
    reference,
    "instances",
    [
        surrogate(),
        required("id", String(64)),
        required("deployment_id", String(255)),
        required("workspace_id", String(255)),
        required("project_id", String(255)),
        required("app_id", String(64)),
        required("region_id", String(64)),
        required("k8s_name", String(255)),
        required("address", String(255)),
        required("cpu_millicores", Integer()),
        required("memory_mib", Integer()),
        required("status", Choice("inactive", "pending", "running", "failed")),
    ],
    unique={
        "instances_id_unique": ["id"],
        "unique_address_per_region": ["address", "region_id"],
        "unique_k8s_name_per_region": ["k8s_name", "region_id"],
    },
    indexes={"idx_deployment_id": ["deployment_id"], "idx_region": ["region_id"]},
)

regions = table(
    reference,
    "regions",
    [
        surrogate(),
        required("id", String(64)),
        required("name", String(64)),
        required("platform", String(64)),
        required("can_schedule", Boolean(), "true"),
    ],
    unique={"regions_id_unique": ["id"], "unique_region_per_platform": ["name", "platform"]},
)

clusters = table(
    reference,
    "clusters",
    [
        surrogate(),
        required("id", String(64)),
        required("region_id", String(64)),
        required("last_heartbeat_at", UnsignedBigInteger),
    ],
    unique={"clusters_id_unique": ["id"], "clusters_region_id_unique": ["region_id"]},
)

sentinels = table(
    reference,
    "sentinels",
    [
        surrogate(),
        required("id", String(64)),
        required("workspace_id", String(255)),
        required("project_id", String(255)),
        required("environment_id", String(255)),
        required("k8s_name", String(64)),
        required("k8s_address", String(255)),
        required("region_id", String(255)),
        required("image", String(255)),
        required("desired_state", Choice("running", "standby", "archived"), "'running'"),
        required("health", Choice("unknown", "paused", "healthy", "unhealthy"), "'unknown'"),
        required("desired_replicas", Integer()),
        required("available_replicas", Integer()),
        required("cpu_millicores", Integer()),
        required("memory_mib", Integer()),
        required("version", UnsignedBigInteger),
        required("created_at", BigInteger()),
        optional("updated_at", BigInteger()),
    ],
    unique={
        "sentinels_id_unique": ["id"],
        "sentinels_k8s_name_unique": ["k8s_name"],
        "sentinels_k8s_address_unique": ["k8s_address"],
        "one_env_per_region": ["environment_id", "region_id"],
        "unique_version_per_region": ["region_id", "version"],
    },
    indexes={"idx_environment_health_region_routing": ["environment_id", "region_id", "health"]},
)

cilium_network_policies = table(
    reference,
    "cilium_network_policies",
    [
        surrogate(),
        required("id", String(64)),
        required("workspace_id", String(255)),
        required("project_id", String(255)),
        required("app_id", String(64)),
        required("environment_id", String(255)),
        required("deployment_id", String(128)),
        required("k8s_name", String(64)),
        required("k8s_namespace", String(255)),
        required("region_id", String(64)),
        required("policy", Json()),
        required("version", UnsignedBigInteger),
        required("created_at", BigInteger()),
        optional("updated_at", BigInteger()),
    ],
    unique={
        "cilium_network_policies_id_unique": ["id"],
        "unique_version_per_region": ["region_id", "version"],
    },
    indexes={"idx_deployment_region": ["deployment_id", "region_id"]},
)
