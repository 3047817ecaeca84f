"""GitHub App installations and the repositories of apps (03 · 1.17, 1.19)."""

from sqlalchemy import BigInteger, String

from service.database.tables.schema import optional, reference, required, surrogate, table

github_repo_connections = table(
    reference,
    "github_repo_connections",
    [
        surrogate(),
        required("project_id", String(64)),
        required("app_id", String(64)),
        required("installation_id", BigInteger()),
        required("repository_id", BigInteger()),
        required("repository_full_name", String(500)),
        required("created_at", BigInteger()),
        optional("updated_at", BigInteger()),
    ],
    unique={"github_repo_connections_app_id_unique": ["app_id"]},
    indexes={"installation_id_idx": ["installation_id"]},
)

github_app_installations = table(
    reference,
    "github_app_installations",
    [
        surrogate(),
        required("workspace_id", String(256)),
        required("installation_id", BigInteger()),
        required("created_at", BigInteger()),
        optional("updated_at", BigInteger()),
    ],
    unique={"workspace_installation_idx": ["workspace_id", "installation_id"]},
)
