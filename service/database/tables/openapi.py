"""OpenAPI documents scraped from deployments (03 · 1.18)."""

from sqlalchemy import BigInteger, String

from service.database.tables.schema import optional, reference, required, surrogate, table
from service.database.tables.types import LongBlob

openapi_specs = table(
    reference,
    "openapi_specs",
    [
        surrogate(),
        required("id", String(128)),
        required("workspace_id", String(256)),
        optional("deployment_id", String(128)),
        optional("portal_config_id", String(256)),
        required("content", LongBlob),
        required("created_at", BigInteger()),
        optional("updated_at", BigInteger()),
    ],
    unique={
        "openapi_specs_id_unique": ["id"],
        "workspace_deployment_idx": ["workspace_id", "deployment_id"],
        "workspace_portal_config_idx": ["workspace_id", "portal_config_id"],
    },
)
