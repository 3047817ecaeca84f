from google.protobuf import descriptor_pb2 as _descriptor_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor

class ServiceType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SERVICE: _ClassVar[ServiceType]
    VIRTUAL_OBJECT: _ClassVar[ServiceType]
    WORKFLOW: _ClassVar[ServiceType]

class HandlerType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UNSET: _ClassVar[HandlerType]
    EXCLUSIVE: _ClassVar[HandlerType]
    SHARED: _ClassVar[HandlerType]
    WORKFLOW_RUN: _ClassVar[HandlerType]
SERVICE: ServiceType
VIRTUAL_OBJECT: ServiceType
WORKFLOW: ServiceType
UNSET: HandlerType
EXCLUSIVE: HandlerType
SHARED: HandlerType
WORKFLOW_RUN: HandlerType
SERVICE_TYPE_FIELD_NUMBER: _ClassVar[int]
service_type: _descriptor.FieldDescriptor
HANDLER_TYPE_FIELD_NUMBER: _ClassVar[int]
handler_type: _descriptor.FieldDescriptor
