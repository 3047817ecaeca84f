"""The wire contract, field by field, and that what was added to it stays as it is."""

import pytest
from dev.restate.sdk import go_pb2
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor, FileDescriptor, MethodDescriptor, ServiceDescriptor
from hydra.v1 import deploy_pb2, deployment_pb2, github_status_pb2, openapi_pb2, routing_pb2, versioning_pb2

FILES: dict[str, FileDescriptor] = {
    module.DESCRIPTOR.name: module.DESCRIPTOR
    for module in (deploy_pb2, deployment_pb2, routing_pb2, versioning_pb2, github_status_pb2, openapi_pb2)
}
SERVICES: dict[str, ServiceDescriptor] = {
    service.full_name: service for file in FILES.values() for service in file.services_by_name.values()
}

# message -> field number -> (name, type); a type in brackets is repeated, one with "?" has explicit presence,
# a message or enum is given by its name.
MESSAGES: dict[str, dict[int, tuple[str, str]]] = {
    "DeployRequest": {
        1: ("deployment_id", "string"),
        2: ("key_auth_id", "string?"),
        3: ("git", "GitSource?"),
        4: ("docker_image", "DockerImage?"),
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
    "ScheduleDesiredStateChangeRequest": {
        1: ("delay_millis", "int64"),
        2: ("state", "DeploymentDesiredState"),
    },
    "ScheduleDesiredStateChangeResponse": {},
    "ChangeDesiredStateRequest": {1: ("nonce", "string"), 2: ("state", "DeploymentDesiredState")},
    "ChangeDesiredStateResponse": {},
    "ClearScheduledStateChangesRequest": {},
    "ClearScheduledStateChangesResponse": {},
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
    },
    "RevertTrafficRequest": {1: ("operation_id", "string"), 2: ("deployment_id", "string")},
    "RevertTrafficResponse": {1: ("restored_route_ids", "[string]"), 2: ("live_pointer_restored", "bool")},
    "NextVersionRequest": {},
    "NextVersionResponse": {1: ("version", "uint64")},
    "GetVersionRequest": {},
    "GetVersionResponse": {1: ("version", "uint64")},
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
    "ScrapeSpecRequest": {1: ("deployment_id", "string")},
    "ScrapeSpecResponse": {},
}

# enum -> its values without their common prefix, in the order of their numbers, which begin at 0.
ENUMS: dict[str, tuple[str, list[str]]] = {
    "DeploymentDesiredState": (
        "DEPLOYMENT_DESIRED_STATE_",
        ["UNSPECIFIED", "RUNNING", "STANDBY", "ARCHIVED"],
    ),
    "TrafficSwitchKind": ("TRAFFIC_SWITCH_KIND_", ["UNSPECIFIED", "DEPLOY", "ROLLBACK", "PROMOTE"]),
    "GitHubDeploymentState": (
        "GITHUB_DEPLOYMENT_STATE_",
        ["UNSPECIFIED", "PENDING", "IN_PROGRESS", "SUCCESS", "FAILURE", "ERROR", "INACTIVE", "QUEUED"],
    ),
}

# service -> (type, rpc -> (what its messages' names begin with, handler type))
RPCS: dict[str, tuple[str, dict[str, tuple[str, str]]]] = {
    "hydra.v1.DeployService": (
        "VIRTUAL_OBJECT",
        {
            "Deploy": ("Deploy", "SHARED"),
            "Rollback": ("Rollback", "SHARED"),
            "Promote": ("Promote", "SHARED"),
            "ScaleDownIdlePreviewDeployments": ("ScaleDownIdlePreviewDeployments", "SHARED"),
        },
    ),
    "hydra.v1.DeploymentService": (
        "VIRTUAL_OBJECT",
        {
            "ScheduleDesiredStateChange": ("ScheduleDesiredStateChange", "UNSET"),
            "ChangeDesiredState": ("ChangeDesiredState", "UNSET"),
            "ClearScheduledStateChanges": ("ClearScheduledStateChanges", "UNSET"),
        },
    ),
    "hydra.v1.RoutingService": (
        "VIRTUAL_OBJECT",
        {
            "AssignFrontlineRoutes": ("AssignFrontlineRoutes", "UNSET"),
            "SwitchTraffic": ("SwitchTraffic", "UNSET"),
            "RevertTraffic": ("RevertTraffic", "UNSET"),
        },
    ),
    "hydra.v1.VersioningService": (
        "VIRTUAL_OBJECT",
        {"NextVersion": ("NextVersion", "UNSET"), "GetVersion": ("GetVersion", "SHARED")},
    ),
    "hydra.v1.GitHubStatusService": (
        "VIRTUAL_OBJECT",
        {"Init": ("GitHubStatusInit", "UNSET"), "ReportStatus": ("GitHubStatusReport", "UNSET")},
    ),
    "hydra.v1.OpenapiService": ("SERVICE", {"ScrapeSpec": ("ScrapeSpec", "UNSET")}),
}

_SCALARS = {
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_UINT64: "uint64",
    FieldDescriptor.TYPE_BOOL: "bool",
}


def _type_of(field: FieldDescriptor) -> str:
    named = field.message_type or field.enum_type
    name = named.name if named else _SCALARS[field.type]
    if field.is_repeated:
        return f"[{name}]"
    return f"{name}?" if field.has_presence else name


def _option(item: ServiceDescriptor | MethodDescriptor, name: str) -> str | None:
    value: str | None = json_format.MessageToDict(item.GetOptions()).get(f"[dev.restate.sdk.go.{name}]")
    return value


def test_files_are_hydra_v1_for_go_callers() -> None:
    for name, file in FILES.items():
        assert name.startswith("hydra/v1/")
        assert file.package == "hydra.v1"
        assert file.GetOptions().go_package == "github.com/unkeyed/unkey/gen/proto/hydra/v1;hydrav1"


def test_messages_are_those_of_the_contract() -> None:
    actual = {
        message.name: {field.number: (field.name, _type_of(field)) for field in message.fields}
        for file in FILES.values()
        for message in file.message_types_by_name.values()
    }
    assert actual == MESSAGES


def test_enums_are_those_of_the_contract() -> None:
    actual = {
        enum.name: {value.number: value.name for value in enum.values}
        for file in FILES.values()
        for enum in file.enum_types_by_name.values()
    }
    assert actual == {
        name: {number: prefix + value for number, value in enumerate(values)}
        for name, (prefix, values) in ENUMS.items()
    }


def test_deploy_source_is_the_only_choice_and_key_auth_id_the_only_optional_scalar() -> None:
    request = deploy_pb2.DeployRequest.DESCRIPTOR
    assert [field.name for field in request.oneofs_by_name["source"].fields] == ["git", "docker_image"]
    oneofs = {
        oneof.full_name
        for file in FILES.values()
        for message in file.message_types_by_name.values()
        for oneof in message.oneofs
    }
    # A proto3 optional field is a oneof of its own in the descriptor.
    assert oneofs == {"hydra.v1.DeployRequest.source", "hydra.v1.DeployRequest._key_auth_id"}


def test_there_are_six_services() -> None:
    assert set(SERVICES) == set(RPCS)


@pytest.mark.parametrize("name", RPCS)
def test_service_has_the_rpcs_and_options_of_the_contract(name: str) -> None:
    service = SERVICES[name]
    service_type, rpcs = RPCS[name]
    assert _option(service, "service_type") == service_type
    actual = {
        method.name: (
            method.input_type.name,
            method.output_type.name,
            _option(method, "handler_type") or "UNSET",
        )
        for method in service.methods
    }
    assert actual == {
        rpc: (f"{messages}Request", f"{messages}Response", handler_type)
        for rpc, (messages, handler_type) in rpcs.items()
    }


@pytest.mark.parametrize("name", RPCS)
def test_every_rpc_is_unary(name: str) -> None:
    for method in SERVICES[name].methods:
        assert not method.client_streaming
        assert not method.server_streaming


def test_restate_options_are_those_of_the_go_sdk() -> None:
    file = go_pb2.DESCRIPTOR
    assert (file.name, file.package) == ("dev/restate/sdk/go.proto", "dev.restate.sdk.go")
    assert file.GetOptions().go_package == "github.com/restatedev/sdk-go/generated/dev/restate/sdk"
    assert go_pb2.ServiceType.items() == [("SERVICE", 0), ("VIRTUAL_OBJECT", 1), ("WORKFLOW", 2)]
    assert go_pb2.HandlerType.items() == [
        ("UNSET", 0),
        ("EXCLUSIVE", 1),
        ("SHARED", 2),
        ("WORKFLOW_RUN", 3),
    ]
    extensions = {
        name: (extension.containing_type.full_name, extension.number)
        for name, extension in file.extensions_by_name.items()
        if extension.containing_type is not None
    }
    assert extensions == {
        "service_type": ("google.protobuf.ServiceOptions", 2051),
        "handler_type": ("google.protobuf.MethodOptions", 2051),
    }


def test_a_deploy_request_as_go_writes_it_is_read() -> None:
    written = """{"deploymentId":"d_1", "git": {"installationId":"9007199254740993","prNumber":"7"},
        "command":["./app","--port=8080"]}"""
    request = json_format.Parse(written, deploy_pb2.DeployRequest())
    assert request == deploy_pb2.DeployRequest(
        deployment_id="d_1",
        git=deploy_pb2.GitSource(installation_id=9007199254740993, pr_number=7),
        command=["./app", "--port=8080"],
    )
    assert not request.HasField("key_auth_id")
