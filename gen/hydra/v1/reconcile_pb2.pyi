from dev.restate.sdk import go_pb2 as _go_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReconcileFate(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RECONCILE_FATE_UNSPECIFIED: _ClassVar[ReconcileFate]
    RECONCILE_FATE_SETTLED: _ClassVar[ReconcileFate]
    RECONCILE_FATE_WOULD_SETTLE: _ClassVar[ReconcileFate]
    RECONCILE_FATE_LEFT: _ClassVar[ReconcileFate]
RECONCILE_FATE_UNSPECIFIED: ReconcileFate
RECONCILE_FATE_SETTLED: ReconcileFate
RECONCILE_FATE_WOULD_SETTLE: ReconcileFate
RECONCILE_FATE_LEFT: ReconcileFate

class ReconcileRequest(_message.Message):
    __slots__ = ("dry_run", "thorough")
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    THOROUGH_FIELD_NUMBER: _ClassVar[int]
    dry_run: bool
    thorough: bool
    def __init__(self, dry_run: _Optional[bool] = ..., thorough: _Optional[bool] = ...) -> None: ...

class ReconcileResponse(_message.Message):
    __slots__ = ("findings",)
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    findings: _containers.RepeatedCompositeFieldContainer[ReconcileFinding]
    def __init__(self, findings: _Optional[_Iterable[_Union[ReconcileFinding, _Mapping]]] = ...) -> None: ...

class ReconcileFinding(_message.Message):
    __slots__ = ("kind", "subject", "message", "fate")
    KIND_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    FATE_FIELD_NUMBER: _ClassVar[int]
    kind: str
    subject: str
    message: str
    fate: ReconcileFate
    def __init__(self, kind: _Optional[str] = ..., subject: _Optional[str] = ..., message: _Optional[str] = ..., fate: _Optional[_Union[ReconcileFate, str]] = ...) -> None: ...
