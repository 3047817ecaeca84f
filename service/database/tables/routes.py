"""Host names and where they lead (03 · 1.16, 1.19)."""

from sqlalchemy import BigInteger, Boolean, Integer, String

from service.database.tables.schema import optional, reference, required, surrogate, table
from service.database.tables.types import Choice

frontline_routes = table(
    reference,
    "frontline_routes",
    [
        surrogate(),
        required("id", String(128)),
        required("project_id", String(255)),
        required("app_id", String(64)),
        required("deployment_id", String(255)),
        required("environment_id", String(255)),
        required("fully_qualified_domain_name", String(256)),
        required("sticky", Choice("none", "branch", "environment", "live", "deployment"), "'none'"),
        required("created_at", BigInteger()),
        optional("updated_at", BigInteger()),
    ],
    unique={
        "frontline_routes_id_unique": ["id"],
        "frontline_routes_fully_qualified_domain_name_unique": ["fully_qualified_domain_name"],
    },
    indexes={
        "environment_id_idx": ["environment_id"],
        "deployment_id_idx": ["deployment_id"],
        "fqdn_environment_deployment_idx": [
            "fully_qualified_domain_name",
            "environment_id",
            "deployment_id",
        ],
    },
)

custom_domains = table(
    reference,
    "custom_domains",
    [
        surrogate(),
        required("id", String(128)),
        required("workspace_id", String(256)),
        required("project_id", String(256)),
        required("app_id", String(64)),
        required("environment_id", String(256)),
        required("domain", String(256)),
        required("challenge_type", Choice("HTTP-01", "DNS-01")),
        required("verification_status", Choice("pending", "verifying", "verified", "failed"), "'pending'"),
        required("verification_token", String(64)),
        required("ownership_verified", Boolean(), "false"),
        required("cname_verified", Boolean(), "false"),
        required("target_cname", String(256)),
        optional("last_checked_at", BigInteger()),
        required("check_attempts", Integer(), "0"),
        optional("verification_error", String(512)),
        optional("invocation_id", String(256)),
        required("created_at", BigInteger()),
        optional("updated_at", BigInteger()),
    ],
    unique={
        "custom_domains_id_unique": ["id"],
        "custom_domains_target_cname_unique": ["target_cname"],
        "unique_domain_idx": ["domain"],
    },
    indexes={
        "workspace_idx": ["workspace_id"],
        "project_idx": ["project_id"],
        "verification_status_idx": ["verification_status"],
    },
)
