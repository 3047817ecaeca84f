from dev.restate.sdk import go_pb2 as _go_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DeploymentDesiredState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DEPLOYMENT_DESIRED_STATE_UNSPECIFIED: _ClassVar[DeploymentDesiredState]
    DEPLOYMENT_DESIRED_STATE_RUNNING: _ClassVar[DeploymentDesiredState]
    DEPLOYMENT_DESIRED_STATE_STANDBY: _ClassVar[DeploymentDesiredState]
    DEPLOYMENT_DESIRED_STATE_ARCHIVED: _ClassVar[DeploymentDesiredState]
DEPLOYMENT_DESIRED_STATE_UNSPECIFIED: DeploymentDesiredState
DEPLOYMENT_DESIRED_STATE_RUNNING: DeploymentDesiredState
DEPLOYMENT_DESIRED_STATE_STANDBY: DeploymentDesiredState
DEPLOYMENT_DESIRED_STATE_ARCHIVED: DeploymentDesiredState

class ScheduleDesiredStateChangeRequest(_message.Message):
    __slots__ = ("delay_millis", "state")
    DELAY_MILLIS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    delay_millis: int
    state: DeploymentDesiredState
    def __init__(self, delay_millis: _Optional[int] = ..., state: _Optional[_Union[DeploymentDesiredState, str]] = ...) -> None: ...

class ScheduleDesiredStateChangeResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ChangeDesiredStateRequest(_message.Message):
    __slots__ = ("nonce", "state")
    NONCE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    nonce: str
    state: DeploymentDesiredState
    def __init__(self, nonce: _Optional[str] = ..., state: _Optional[_Union[DeploymentDesiredState, str]] = ...) -> None: ...

class ChangeDesiredStateResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ClearScheduledStateChangesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ClearScheduledStateChangesResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
