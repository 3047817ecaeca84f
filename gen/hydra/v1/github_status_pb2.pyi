from dev.restate.sdk import go_pb2 as _go_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GitHubDeploymentState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GITHUB_DEPLOYMENT_STATE_UNSPECIFIED: _ClassVar[GitHubDeploymentState]
    GITHUB_DEPLOYMENT_STATE_PENDING: _ClassVar[GitHubDeploymentState]
    GITHUB_DEPLOYMENT_STATE_IN_PROGRESS: _ClassVar[GitHubDeploymentState]
    GITHUB_DEPLOYMENT_STATE_SUCCESS: _ClassVar[GitHubDeploymentState]
    GITHUB_DEPLOYMENT_STATE_FAILURE: _ClassVar[GitHubDeploymentState]
    GITHUB_DEPLOYMENT_STATE_ERROR: _ClassVar[GitHubDeploymentState]
    GITHUB_DEPLOYMENT_STATE_INACTIVE: _ClassVar[GitHubDeploymentState]
    GITHUB_DEPLOYMENT_STATE_QUEUED: _ClassVar[GitHubDeploymentState]
GITHUB_DEPLOYMENT_STATE_UNSPECIFIED: GitHubDeploymentState
GITHUB_DEPLOYMENT_STATE_PENDING: GitHubDeploymentState
GITHUB_DEPLOYMENT_STATE_IN_PROGRESS: GitHubDeploymentState
GITHUB_DEPLOYMENT_STATE_SUCCESS: GitHubDeploymentState
GITHUB_DEPLOYMENT_STATE_FAILURE: GitHubDeploymentState
GITHUB_DEPLOYMENT_STATE_ERROR: GitHubDeploymentState
GITHUB_DEPLOYMENT_STATE_INACTIVE: GitHubDeploymentState
GITHUB_DEPLOYMENT_STATE_QUEUED: GitHubDeploymentState

class GitHubStatusInitRequest(_message.Message):
    __slots__ = ("installation_id", "repo", "commit_sha", "branch", "environment_label", "environment_url", "log_url", "is_production", "project_slug", "app_slug", "env_slug", "pr_number", "existing_github_deployment_id")
    INSTALLATION_ID_FIELD_NUMBER: _ClassVar[int]
    REPO_FIELD_NUMBER: _ClassVar[int]
    COMMIT_SHA_FIELD_NUMBER: _ClassVar[int]
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_LABEL_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_URL_FIELD_NUMBER: _ClassVar[int]
    LOG_URL_FIELD_NUMBER: _ClassVar[int]
    IS_PRODUCTION_FIELD_NUMBER: _ClassVar[int]
    PROJECT_SLUG_FIELD_NUMBER: _ClassVar[int]
    APP_SLUG_FIELD_NUMBER: _ClassVar[int]
    ENV_SLUG_FIELD_NUMBER: _ClassVar[int]
    PR_NUMBER_FIELD_NUMBER: _ClassVar[int]
    EXISTING_GITHUB_DEPLOYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    installation_id: int
    repo: str
    commit_sha: str
    branch: str
    environment_label: str
    environment_url: str
    log_url: str
    is_production: bool
    project_slug: str
    app_slug: str
    env_slug: str
    pr_number: int
    existing_github_deployment_id: int
    def __init__(self, installation_id: _Optional[int] = ..., repo: _Optional[str] = ..., commit_sha: _Optional[str] = ..., branch: _Optional[str] = ..., environment_label: _Optional[str] = ..., environment_url: _Optional[str] = ..., log_url: _Optional[str] = ..., is_production: _Optional[bool] = ..., project_slug: _Optional[str] = ..., app_slug: _Optional[str] = ..., env_slug: _Optional[str] = ..., pr_number: _Optional[int] = ..., existing_github_deployment_id: _Optional[int] = ...) -> None: ...

class GitHubStatusInitResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GitHubStatusReportRequest(_message.Message):
    __slots__ = ("state", "description")
    STATE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    state: GitHubDeploymentState
    description: str
    def __init__(self, state: _Optional[_Union[GitHubDeploymentState, str]] = ..., description: _Optional[str] = ...) -> None: ...

class GitHubStatusReportResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
