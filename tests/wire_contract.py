"""The wire contract of hydra.v1 as tables, field by field: what other programs depend on (01 · 1), and what was added.

Whatever is in a descriptor and not in these tables is a difference: tests/descriptors.py makes descriptors of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

# Field number → (name, type). A type in brackets is repeated, a scalar with "?" has explicit presence, "in x" says that
# the field is a member of the oneof x; a message or an enum is given by its name.
Fields = Mapping[int, tuple[str, str]]


@dataclass(frozen=True)
class Service:
    """`rpcs`: name → what its messages' names begin with; all are unary. Those of `shared` have that handler type."""

    type: str
    rpcs: Mapping[str, str]
    shared: frozenset[str] = frozenset()


@dataclass(frozen=True)
class File:
    """One file of hydra.v1. `enums`: name → (prefix, the values' names without it, in order, from number 0).

    `imports`: the files that it needs beside the one with Restate's options.
    """

    services: Mapping[str, Service]
    messages: Mapping[str, Fields]
    enums: Mapping[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    imports: tuple[str, ...] = ()


_DEPLOY_RPCS = ("Deploy", "Rollback", "Promote", "ScaleDownIdlePreviewDeployments")

FILES: Mapping[str, File] = {
    "deploy": File(
        {"DeployService": Service("VIRTUAL_OBJECT", {rpc: rpc for rpc in _DEPLOY_RPCS}, frozenset(_DEPLOY_RPCS))},
        {
            "DeployRequest": {
                1: ("deployment_id", "string"),
                2: ("key_auth_id", "string?"),
                3: ("git", "GitSource in source"),
                4: ("docker_image", "DockerImage in source"),
                5: ("command", "[string]"),
            },
            "GitSource": {
                1: ("installation_id", "int64"),
                2: ("repository", "string"),
                3: ("commit_sha", "string"),
                4: ("context_path", "string"),
                5: ("dockerfile_path", "string"),
                6: ("branch", "string"),
                7: ("pr_number", "int64"),
            },
            "DockerImage": {1: ("image", "string")},
            "DeployResponse": {},
            "RollbackRequest": {1: ("source_deployment_id", "string"), 2: ("target_deployment_id", "string")},
            "RollbackResponse": {},
            "PromoteRequest": {1: ("target_deployment_id", "string")},
            "PromoteResponse": {},
            "ScaleDownIdlePreviewDeploymentsRequest": {},
            "ScaleDownIdlePreviewDeploymentsResponse": {},
        },
    ),
    "deployment": File(
        {
            "DeploymentService": Service(
                "VIRTUAL_OBJECT",
                {
                    "ScheduleDesiredStateChange": "ScheduleDesiredStateChange",
                    "ChangeDesiredState": "ChangeDesiredState",
                    "ClearScheduledStateChanges": "ClearScheduledStateChanges",
                },
            )
        },
        {
            "ScheduleDesiredStateChangeRequest": {
                1: ("delay_millis", "int64"),
                2: ("state", "DeploymentDesiredState"),
            },
            "ScheduleDesiredStateChangeResponse": {},
            "ChangeDesiredStateRequest": {1: ("nonce", "string"), 2: ("state", "DeploymentDesiredState")},
            "ChangeDesiredStateResponse": {},
            "ClearScheduledStateChangesRequest": {},
            "ClearScheduledStateChangesResponse": {},
        },
        {
            "DeploymentDesiredState": (
                "DEPLOYMENT_DESIRED_STATE_",
                ("UNSPECIFIED", "RUNNING", "STANDBY", "ARCHIVED"),
            )
        },
    ),
    "routing": File(
        {
            "RoutingService": Service(
                "VIRTUAL_OBJECT",
                {
                    "AssignFrontlineRoutes": "AssignFrontlineRoutes",
                    "SwitchTraffic": "SwitchTraffic",  # added, with its messages and its enum
                    "RevertTraffic": "RevertTraffic",  # added, with its messages
                },
            )
        },
        {
            "AssignFrontlineRoutesRequest": {1: ("deployment_id", "string"), 2: ("frontline_route_ids", "[string]")},
            "AssignFrontlineRoutesResponse": {},
            "SwitchTrafficRequest": {
                1: ("operation_id", "string"),
                2: ("deployment_id", "string"),
                3: ("kind", "TrafficSwitchKind"),
                4: ("source_deployment_id", "string"),
            },
            "SwitchTrafficResponse": {
                1: ("moved_route_ids", "[string]"),
                2: ("previous_deployment_id", "string"),
                3: ("live", "bool"),
                4: ("superseded_deployment_ids", "[string]"),
                5: ("held_back_deployment_ids", "[string]"),
            },
            "RevertTrafficRequest": {1: ("operation_id", "string"), 2: ("deployment_id", "string")},
            "RevertTrafficResponse": {1: ("restored_route_ids", "[string]"), 2: ("live_pointer_restored", "bool")},
        },
        {"TrafficSwitchKind": ("TRAFFIC_SWITCH_KIND_", ("UNSPECIFIED", "DEPLOY", "ROLLBACK", "PROMOTE"))},
    ),
    "versioning": File(
        {
            "VersioningService": Service(
                "VIRTUAL_OBJECT",
                {"NextVersion": "NextVersion", "GetVersion": "GetVersion"},
                frozenset({"GetVersion"}),
            )
        },
        {
            "NextVersionRequest": {},
            "NextVersionResponse": {1: ("version", "uint64")},
            "GetVersionRequest": {},
            "GetVersionResponse": {1: ("version", "uint64")},
        },
    ),
    "github_status": File(
        {
            "GitHubStatusService": Service(
                "VIRTUAL_OBJECT", {"Init": "GitHubStatusInit", "ReportStatus": "GitHubStatusReport"}
            )
        },
        {
            "GitHubStatusInitRequest": {
                1: ("installation_id", "int64"),
                2: ("repo", "string"),
                3: ("commit_sha", "string"),
                4: ("branch", "string"),
                5: ("environment_label", "string"),
                6: ("environment_url", "string"),
                7: ("log_url", "string"),
                8: ("is_production", "bool"),
                9: ("project_slug", "string"),
                10: ("app_slug", "string"),
                11: ("env_slug", "string"),
                12: ("pr_number", "int32"),
                13: ("existing_github_deployment_id", "int64"),
            },
            "GitHubStatusInitResponse": {},
            "GitHubStatusReportRequest": {1: ("state", "GitHubDeploymentState"), 2: ("description", "string")},
            "GitHubStatusReportResponse": {},
        },
        {
            "GitHubDeploymentState": (
                "GITHUB_DEPLOYMENT_STATE_",
                ("UNSPECIFIED", "PENDING", "IN_PROGRESS", "SUCCESS", "FAILURE", "ERROR", "INACTIVE", "QUEUED"),
            )
        },
    ),
    "openapi": File(
        {"OpenapiService": Service("SERVICE", {"ScrapeSpec": "ScrapeSpec"})},
        {"ScrapeSpecRequest": {1: ("deployment_id", "string")}, "ScrapeSpecResponse": {}},
    ),
    "pull_request_comment": File(  # added, all of it
        {"PullRequestCommentService": Service("VIRTUAL_OBJECT", {"PutRow": "PutRow"})},
        {
            "PutRowRequest": {
                1: ("installation_id", "int64"),
                2: ("repo", "string"),
                3: ("pr_number", "int32"),
                4: ("known_comment_id", "int64"),
                5: ("row", "PullRequestCommentRow"),
            },
            "PullRequestCommentRow": {
                1: ("project_slug", "string"),
                2: ("app_slug", "string"),
                3: ("env_slug", "string"),
                4: ("deployment_id", "string"),
                5: ("created_at_ms", "int64"),
                6: ("state", "GitHubDeploymentState"),
                7: ("description", "string"),
                8: ("preview_url", "string"),
                9: ("inspect_url", "string"),
                10: ("commit_sha", "string"),
                11: ("commit_url", "string"),
                12: ("updated_at_ms", "int64"),
                13: ("project_id", "string"),
            },
            "PutRowResponse": {},
        },
        imports=("hydra/v1/github_status.proto",),
    ),
    "reconcile": File(  # added, all of it
        {"ReconcileService": Service("VIRTUAL_OBJECT", {"Reconcile": "Reconcile"})},
        {
            "ReconcileRequest": {1: ("dry_run", "bool"), 2: ("thorough", "bool")},
            "ReconcileResponse": {1: ("findings", "[ReconcileFinding]")},
            "ReconcileFinding": {
                1: ("kind", "string"),
                2: ("subject", "string"),
                3: ("message", "string"),
                4: ("fate", "ReconcileFate"),
            },
        },
        {"ReconcileFate": ("RECONCILE_FATE_", ("UNSPECIFIED", "SETTLED", "WOULD_SETTLE", "LEFT"))},
    ),
}
