from dev.restate.sdk import go_pb2 as _go_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TrafficSwitchKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRAFFIC_SWITCH_KIND_UNSPECIFIED: _ClassVar[TrafficSwitchKind]
    TRAFFIC_SWITCH_KIND_DEPLOY: _ClassVar[TrafficSwitchKind]
    TRAFFIC_SWITCH_KIND_ROLLBACK: _ClassVar[TrafficSwitchKind]
    TRAFFIC_SWITCH_KIND_PROMOTE: _ClassVar[TrafficSwitchKind]
TRAFFIC_SWITCH_KIND_UNSPECIFIED: TrafficSwitchKind
TRAFFIC_SWITCH_KIND_DEPLOY: TrafficSwitchKind
TRAFFIC_SWITCH_KIND_ROLLBACK: TrafficSwitchKind
TRAFFIC_SWITCH_KIND_PROMOTE: TrafficSwitchKind

class AssignFrontlineRoutesRequest(_message.Message):
    __slots__ = ("deployment_id", "frontline_route_ids")
    DEPLOYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    FRONTLINE_ROUTE_IDS_FIELD_NUMBER: _ClassVar[int]
    deployment_id: str
    frontline_route_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, deployment_id: _Optional[str] = ..., frontline_route_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class AssignFrontlineRoutesResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SwitchTrafficRequest(_message.Message):
    __slots__ = ("operation_id", "deployment_id", "kind", "source_deployment_id")
    OPERATION_ID_FIELD_NUMBER: _ClassVar[int]
    DEPLOYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SOURCE_DEPLOYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    operation_id: str
    deployment_id: str
    kind: TrafficSwitchKind
    source_deployment_id: str
    def __init__(self, operation_id: _Optional[str] = ..., deployment_id: _Optional[str] = ..., kind: _Optional[_Union[TrafficSwitchKind, str]] = ..., source_deployment_id: _Optional[str] = ...) -> None: ...

class SwitchTrafficResponse(_message.Message):
    __slots__ = ("moved_route_ids", "previous_deployment_id", "live", "superseded_deployment_ids", "held_back_deployment_ids")
    MOVED_ROUTE_IDS_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_DEPLOYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    LIVE_FIELD_NUMBER: _ClassVar[int]
    SUPERSEDED_DEPLOYMENT_IDS_FIELD_NUMBER: _ClassVar[int]
    HELD_BACK_DEPLOYMENT_IDS_FIELD_NUMBER: _ClassVar[int]
    moved_route_ids: _containers.RepeatedScalarFieldContainer[str]
    previous_deployment_id: str
    live: bool
    superseded_deployment_ids: _containers.RepeatedScalarFieldContainer[str]
    held_back_deployment_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, moved_route_ids: _Optional[_Iterable[str]] = ..., previous_deployment_id: _Optional[str] = ..., live: _Optional[bool] = ..., superseded_deployment_ids: _Optional[_Iterable[str]] = ..., held_back_deployment_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class RevertTrafficRequest(_message.Message):
    __slots__ = ("operation_id", "deployment_id")
    OPERATION_ID_FIELD_NUMBER: _ClassVar[int]
    DEPLOYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    operation_id: str
    deployment_id: str
    def __init__(self, operation_id: _Optional[str] = ..., deployment_id: _Optional[str] = ...) -> None: ...

class RevertTrafficResponse(_message.Message):
    __slots__ = ("restored_route_ids", "live_pointer_restored")
    RESTORED_ROUTE_IDS_FIELD_NUMBER: _ClassVar[int]
    LIVE_POINTER_RESTORED_FIELD_NUMBER: _ClassVar[int]
    restored_route_ids: _containers.RepeatedScalarFieldContainer[str]
    live_pointer_restored: bool
    def __init__(self, restored_route_ids: _Optional[_Iterable[str]] = ..., live_pointer_restored: _Optional[bool] = ...) -> None: ...
