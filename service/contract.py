"""What a request of hydra.v1 must satisfy before anything is contacted or written (01 · 4).

Both edges hold requests to it: the gRPC server, and the Restate handlers, which Go callers reach directly.
"""

from hydra.v1 import deploy_pb2

from service.domain.build import GitSource
from service.domain.git import git_source
from service.domain.image import validate_image
from service.domain.request import validate_command, validate_deployment_id
from service.errors import InvalidArgument


def validate_rollback(request: deploy_pb2.RollbackRequest) -> None:
    """Check a Rollback request. Raises InvalidArgument naming the field."""
    validate_deployment_id(request.source_deployment_id, "source_deployment_id")
    validate_deployment_id(request.target_deployment_id, "target_deployment_id")
    if request.source_deployment_id == request.target_deployment_id:
        raise InvalidArgument(
            "source and target are the same deployment: name the one to go back to", field="target_deployment_id"
        )


def validate_promote(request: deploy_pb2.PromoteRequest) -> None:
    """Check a Promote request. Raises InvalidArgument naming the field."""
    validate_deployment_id(request.target_deployment_id, "target_deployment_id")


def validate_deploy(request: deploy_pb2.DeployRequest) -> None:
    """Check a Deploy request. Raises InvalidArgument naming the field."""
    validate_deployment_id(request.deployment_id)
    validate_command(request.command)
    match request.WhichOneof("source"):
        case "docker_image":
            validate_image(request.docker_image.image)
        case "git":
            git_source_of(request)
        case _:
            raise InvalidArgument(
                "the request has no source: set git or docker_image", field="source", reason="SOURCE_MISSING"
            )


def git_source_of(request: deploy_pb2.DeployRequest) -> GitSource:
    """Read the git source of a request that has one. Raises InvalidArgument naming the field."""
    return git_source(request.git)
