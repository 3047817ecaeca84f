"""Deployments and their steps (03 · 1.9, 1.10)."""

from sqlalchemy import BigInteger, Integer, String, Text

from service.database.tables.schema import optional, reference, required, surrogate, table
from service.database.tables.settings import EMPTY_LIST, SHUTDOWN_SIGNALS
from service.database.tables.types import Choice, Json, LongBlob, UnsignedBigInteger

STEPS = ("starting", "building", "deploying", "network", "finalizing")

deployments = table(
    reference,
    "deployments",
    [
        surrogate(),
        required("id", String(128)),
        required("k8s_name", String(255)),
        required("workspace_id", String(256)),
        required("project_id", String(256)),
        required("environment_id", String(128)),
        required("app_id", String(64)),
        optional("image", String(256)),
        optional("build_id", String(128)),
        optional("git_commit_sha", String(40)),
        optional("git_branch", String(256)),
        optional("git_commit_message", Text()),
        optional("git_commit_author_handle", String(256)),
        optional("git_commit_author_avatar_url", String(512)),
        optional("git_commit_timestamp", BigInteger()),
        required("sentinel_config", LongBlob),
        required("cpu_millicores", Integer()),
        required("memory_mib", Integer()),
        required("desired_state", Choice("running", "standby", "archived"), "'running'"),
        required("encrypted_environment_variables", LongBlob),
        required("command", Json(), EMPTY_LIST),
        required("port", Integer(), "8080"),
        required("shutdown_signal", Choice(*SHUTDOWN_SIGNALS), "'SIGTERM'"),
        optional("healthcheck", Json()),
        optional("pr_number", BigInteger()),
        optional("fork_repository_full_name", String(256)),
        optional("github_deployment_id", BigInteger()),
        required(
            "status",
            Choice("pending", *STEPS, "ready", "failed", "skipped", "awaiting_approval"),
            "'pending'",
        ),
        required("created_at", BigInteger()),
        optional("updated_at", BigInteger()),
    ],
    unique={
        "deployments_id_unique": ["id"],
        "deployments_k8s_name_unique": ["k8s_name"],
        "deployments_build_id_unique": ["build_id"],
    },
    indexes={"workspace_idx": ["workspace_id"], "project_idx": ["project_id"], "status_idx": ["status"]},
)

deployment_steps = table(
    reference,
    "deployment_steps",
    [
        surrogate(),
        required("workspace_id", String(128)),
        required("project_id", String(128)),
        required("environment_id", String(128)),
        required("deployment_id", String(128)),
        required("app_id", String(64)),
        required("step", Choice("queued", *STEPS), "'queued'"),
        required("started_at", UnsignedBigInteger),
        optional("ended_at", UnsignedBigInteger),
        optional("error", String(512)),
    ],
    unique={"unique_step_per_deployment": ["deployment_id", "step"]},
    indexes={"workspace_idx": ["workspace_id"]},
)
