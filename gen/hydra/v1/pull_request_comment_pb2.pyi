from dev.restate.sdk import go_pb2 as _go_pb2
from hydra.v1 import github_status_pb2 as _github_status_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PutRowRequest(_message.Message):
    __slots__ = ("installation_id", "repo", "pr_number", "known_comment_id", "row")
    INSTALLATION_ID_FIELD_NUMBER: _ClassVar[int]
    REPO_FIELD_NUMBER: _ClassVar[int]
    PR_NUMBER_FIELD_NUMBER: _ClassVar[int]
    KNOWN_COMMENT_ID_FIELD_NUMBER: _ClassVar[int]
    ROW_FIELD_NUMBER: _ClassVar[int]
    installation_id: int
    repo: str
    pr_number: int
    known_comment_id: int
    row: PullRequestCommentRow
    def __init__(self, installation_id: _Optional[int] = ..., repo: _Optional[str] = ..., pr_number: _Optional[int] = ..., known_comment_id: _Optional[int] = ..., row: _Optional[_Union[PullRequestCommentRow, _Mapping]] = ...) -> None: ...

class PullRequestCommentRow(_message.Message):
    __slots__ = ("project_slug", "app_slug", "env_slug", "deployment_id", "created_at_ms", "state", "description", "preview_url", "inspect_url", "commit_sha", "commit_url", "updated_at_ms", "project_id")
    PROJECT_SLUG_FIELD_NUMBER: _ClassVar[int]
    APP_SLUG_FIELD_NUMBER: _ClassVar[int]
    ENV_SLUG_FIELD_NUMBER: _ClassVar[int]
    DEPLOYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    PREVIEW_URL_FIELD_NUMBER: _ClassVar[int]
    INSPECT_URL_FIELD_NUMBER: _ClassVar[int]
    COMMIT_SHA_FIELD_NUMBER: _ClassVar[int]
    COMMIT_URL_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    project_slug: str
    app_slug: str
    env_slug: str
    deployment_id: str
    created_at_ms: int
    state: _github_status_pb2.GitHubDeploymentState
    description: str
    preview_url: str
    inspect_url: str
    commit_sha: str
    commit_url: str
    updated_at_ms: int
    project_id: str
    def __init__(self, project_slug: _Optional[str] = ..., app_slug: _Optional[str] = ..., env_slug: _Optional[str] = ..., deployment_id: _Optional[str] = ..., created_at_ms: _Optional[int] = ..., state: _Optional[_Union[_github_status_pb2.GitHubDeploymentState, str]] = ..., description: _Optional[str] = ..., preview_url: _Optional[str] = ..., inspect_url: _Optional[str] = ..., commit_sha: _Optional[str] = ..., commit_url: _Optional[str] = ..., updated_at_ms: _Optional[int] = ..., project_id: _Optional[str] = ...) -> None: ...

class PutRowResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
