"""What a request of hydra.v1 must satisfy before anything is contacted or written (01 · 4).

Both edges hold requests to it: the gRPC server, and the Restate handlers, which Go callers reach directly.
"""

from hydra.v1 import deploy_pb2

from service.domain.image import validate_image
from service.domain.request import validate_command, validate_deployment_id
from service.errors import InvalidArgument, Unimplemented


def validate_deploy(request: deploy_pb2.DeployRequest) -> None:
    """Check a Deploy request. Raises InvalidArgument naming the field, or Unimplemented for a git source."""
    validate_deployment_id(request.deployment_id)
    validate_command(request.command)
    match request.WhichOneof("source"):
        case "docker_image":
            validate_image(request.docker_image.image)
        case "git":
            raise Unimplemented(
                "this release deploys ready images only: set docker_image", reason="GIT_SOURCE_UNSUPPORTED"
            )
        case _:
            raise InvalidArgument(
                "the request has no source: set docker_image", field="source", reason="SOURCE_MISSING"
            )
