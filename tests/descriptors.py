"""Descriptors of the protos, wherever they come from, in one form: comparable, and complete in both directions."""

from collections.abc import Iterable, Mapping

from dev.restate.sdk import go_pb2
from google.protobuf import text_format
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    ServiceDescriptorProto,
)

from tests.wire_contract import FILES, Fields, File, Service

OPTIONS_FILE = "dev/restate/sdk/go.proto"
_PACKAGE = "hydra.v1"
_GO_PACKAGE = "github.com/unkeyed/unkey/gen/proto/hydra/v1;hydrav1"
_NOT_OURS = ("google/", "moby/")
_BESIDE_THE_CONTRACT = ("source_code_info",)
_SCALARS = {
    "string": FieldDescriptorProto.TYPE_STRING,
    "int32": FieldDescriptorProto.TYPE_INT32,
    "int64": FieldDescriptorProto.TYPE_INT64,
    "uint64": FieldDescriptorProto.TYPE_UINT64,
    "bool": FieldDescriptorProto.TYPE_BOOL,
}
_ENUMS = {name for file in FILES.values() for name in file.enums}

Descriptors = Mapping[str, FileDescriptorProto]


def contract() -> Descriptors:
    """Make the descriptors that the tables mean: file name → descriptor."""
    files = {f"hydra/v1/{name}.proto": file for name, file in FILES.items()}
    return {OPTIONS_FILE: _options_file(), **{name: _file(name, file) for name, file in files.items()}}


def as_contract(files: Iterable[FileDescriptorProto]) -> Descriptors:
    """Bring descriptors into the contract's form, leaving out files of others.

    Nothing is lost but comments, order, and what a tool adds to a file for itself: options, extensions and fields that
    the contract does not know stay, and make a difference.
    """
    return {file.name: _normal(file) for file in files if not file.name.startswith(_NOT_OURS)}


# ------------------------------------------------------------------------------------------------------- what is meant


def _file(name: str, table: File) -> FileDescriptorProto:
    file = FileDescriptorProto(name=name, package=_PACKAGE, syntax="proto3")
    file.dependency.extend(sorted((OPTIONS_FILE, *table.imports)))
    file.options.go_package = _GO_PACKAGE
    file.message_type.extend(_message(message, fields) for message, fields in sorted(table.messages.items()))
    for enum, (prefix, values) in sorted(table.enums.items()):
        file.enum_type.append(_enum(enum, [prefix + value for value in values]))
    file.service.extend(_service(service, of_it) for service, of_it in sorted(table.services.items()))
    return file


def _message(name: str, fields: Fields) -> DescriptorProto:
    message = DescriptorProto(name=name)
    for number, (field_name, kind) in sorted(fields.items()):
        message.field.append(_field(field_name, kind.removesuffix("?").partition(" in ")[0]))
        field = message.field[-1]
        field.number = number
        if " in " in kind:
            field.oneof_index = _oneof(message, kind.partition(" in ")[2])
    for field in message.field:  # oneofs that stand for the presence of one field come after all others
        if fields[field.number][1].endswith("?"):
            field.proto3_optional = True
            field.oneof_index = _oneof(message, f"_{field.name}")
    return message


def _field(name: str, kind: str) -> FieldDescriptorProto:
    word = kind.strip("[]")
    field = FieldDescriptorProto(name=name, json_name=_json_name(name))
    field.label = FieldDescriptorProto.LABEL_REPEATED if kind != word else FieldDescriptorProto.LABEL_OPTIONAL
    if word in _SCALARS:
        field.type = _SCALARS[word]
    else:
        field.type = FieldDescriptorProto.TYPE_ENUM if word in _ENUMS else FieldDescriptorProto.TYPE_MESSAGE
        field.type_name = f".{_PACKAGE}.{word}"
    return field


def _json_name(name: str) -> str:
    """Return a field's name in protojson: lower camel case (01 · 2)."""
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)


def _oneof(message: DescriptorProto, name: str) -> int:
    """Return the index of the oneof, which is added where it is not there."""
    names = [oneof.name for oneof in message.oneof_decl]
    if name not in names:
        message.oneof_decl.add(name=name)
        names.append(name)
    return names.index(name)


def _enum(name: str, values: Iterable[str]) -> EnumDescriptorProto:
    enum = EnumDescriptorProto(name=name)
    for number, value in enumerate(values):
        enum.value.add(name=value, number=number)
    return enum


def _service(name: str, table: Service) -> ServiceDescriptorProto:
    service = ServiceDescriptorProto(name=name)
    text_format.Parse(f"[{go_pb2.service_type.full_name}]: {table.type}", service.options)
    for rpc, messages in sorted(table.rpcs.items()):
        method = service.method.add(name=rpc)
        method.input_type, method.output_type = (f".{_PACKAGE}.{messages}{end}" for end in ("Request", "Response"))
        if rpc in table.shared:
            text_format.Parse(f"[{go_pb2.handler_type.full_name}]: SHARED", method.options)
    return service


def _options_file() -> FileDescriptorProto:
    """Make the file of Restate's options for Go (01 · 3)."""
    package = "dev.restate.sdk.go"
    file = FileDescriptorProto(name=OPTIONS_FILE, package=package, syntax="proto3")
    file.dependency.append("google/protobuf/descriptor.proto")
    file.options.go_package = "github.com/restatedev/sdk-go/generated/dev/restate/sdk"
    file.enum_type.append(_enum("HandlerType", ("UNSET", "EXCLUSIVE", "SHARED", "WORKFLOW_RUN")))
    file.enum_type.append(_enum("ServiceType", ("SERVICE", "VIRTUAL_OBJECT", "WORKFLOW")))
    for name, enum, options in (
        ("handler_type", "HandlerType", "MethodOptions"),
        ("service_type", "ServiceType", "ServiceOptions"),
    ):
        extension = file.extension.add(name=name, number=2051, extendee=f".google.protobuf.{options}")
        extension.label, extension.proto3_optional = FieldDescriptorProto.LABEL_OPTIONAL, True
        extension.type, extension.type_name = FieldDescriptorProto.TYPE_ENUM, f".{package}.{enum}"
    return file


# ------------------------------------------------------------------------------------------------------ what there is


def _normal(file: FileDescriptorProto) -> FileDescriptorProto:
    normal = FileDescriptorProto()
    for part, value in file.ListFields():  # without what a tool adds for itself, in fields unknown here
        if part.name not in _BESIDE_THE_CONTRACT:
            normal.MergeFrom(FileDescriptorProto(**{part.name: value}))
    normal.dependency.sort()
    for parts in (normal.message_type, normal.enum_type, normal.service, normal.extension):
        parts.sort(key=lambda part: part.name)
    for message in normal.message_type:
        message.field.sort(key=lambda field: field.number)
        for field in message.field:
            field.json_name = field.json_name or _json_name(field.name)  # protoc leaves it out where it is this one
    for enum in normal.enum_type:
        enum.value.sort(key=lambda value: value.number)
    for service in normal.service:
        service.method.sort(key=lambda method: method.name)
    for extension in normal.extension:
        extension.ClearField("json_name")  # means nothing: JSON has an extension's full name
    return normal
