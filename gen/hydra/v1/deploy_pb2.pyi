from dev.restate.sdk import go_pb2 as _go_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DeployRequest(_message.Message):
    __slots__ = ("deployment_id", "key_auth_id", "git", "docker_image", "command")
    DEPLOYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    KEY_AUTH_ID_FIELD_NUMBER: _ClassVar[int]
    GIT_FIELD_NUMBER: _ClassVar[int]
    DOCKER_IMAGE_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    deployment_id: str
    key_auth_id: str
    git: GitSource
    docker_image: DockerImage
    command: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, deployment_id: _Optional[str] = ..., key_auth_id: _Optional[str] = ..., git: _Optional[_Union[GitSource, _Mapping]] = ..., docker_image: _Optional[_Union[DockerImage, _Mapping]] = ..., command: _Optional[_Iterable[str]] = ...) -> None: ...

class GitSource(_message.Message):
    __slots__ = ("installation_id", "repository", "commit_sha", "context_path", "dockerfile_path", "branch", "pr_number")
    INSTALLATION_ID_FIELD_NUMBER: _ClassVar[int]
    REPOSITORY_FIELD_NUMBER: _ClassVar[int]
    COMMIT_SHA_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_PATH_FIELD_NUMBER: _ClassVar[int]
    DOCKERFILE_PATH_FIELD_NUMBER: _ClassVar[int]
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    PR_NUMBER_FIELD_NUMBER: _ClassVar[int]
    installation_id: int
    repository: str
    commit_sha: str
    context_path: str
    dockerfile_path: str
    branch: str
    pr_number: int
    def __init__(self, installation_id: _Optional[int] = ..., repository: _Optional[str] = ..., commit_sha: _Optional[str] = ..., context_path: _Optional[str] = ..., dockerfile_path: _Optional[str] = ..., branch: _Optional[str] = ..., pr_number: _Optional[int] = ...) -> None: ...

class DockerImage(_message.Message):
    __slots__ = ("image",)
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    image: str
    def __init__(self, image: _Optional[str] = ...) -> None: ...

class DeployResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RollbackRequest(_message.Message):
    __slots__ = ("source_deployment_id", "target_deployment_id")
    SOURCE_DEPLOYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    TARGET_DEPLOYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    source_deployment_id: str
    target_deployment_id: str
    def __init__(self, source_deployment_id: _Optional[str] = ..., target_deployment_id: _Optional[str] = ...) -> None: ...

class RollbackResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PromoteRequest(_message.Message):
    __slots__ = ("target_deployment_id",)
    TARGET_DEPLOYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    target_deployment_id: str
    def __init__(self, target_deployment_id: _Optional[str] = ...) -> None: ...

class PromoteResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ScaleDownIdlePreviewDeploymentsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ScaleDownIdlePreviewDeploymentsResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
