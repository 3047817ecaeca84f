"""The two kinds of TOML table, and how to find one's way in a tree of them.

In a table of the reference a zero value means "not set" and an unknown key is ignored, since the file
serves the Go programs too (03 · 6). In a table of ours every value means what it says, and an unknown key
is a fault.
"""

from collections.abc import Iterator
from types import UnionType
from typing import Any, ClassVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, SecretStr, model_validator
from pydantic.fields import FieldInfo

Path = tuple[str, ...]

_STRICT = ConfigDict(frozen=True, strict=True, hide_input_in_errors=True)


class OwnTable(BaseModel):
    """A table that only this service reads."""

    model_config = _STRICT | {"extra": "forbid"}


class ReferenceTable(BaseModel):
    """A table of the reference; `ours` names the keys in it that only this service reads."""

    model_config = _STRICT | {"extra": "ignore"}
    ours: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="before")
    @classmethod
    def _zero_is_unset(cls, data: Any) -> Any:  # pydantic hands over what the file holds, of any type
        if not isinstance(data, dict):
            return data
        return {key: value for key, value in data.items() if not cls._is_unset(key, value)}

    @classmethod
    def _is_unset(cls, key: str, value: object) -> bool:
        field = cls.model_fields.get(key)
        if field is None or key in cls.ours:
            return False
        if field.annotation in {str, SecretStr}:
            return value == ""
        return type(value) in {int, float, field.annotation} and value == 0


Table = OwnTable | ReferenceTable


def is_array(field: FieldInfo) -> bool:
    """Tell whether a field holds an array of tables, `[[...]]` in the file."""
    return get_origin(field.annotation) is tuple and subtable(field) is not None


def subtable(field: FieldInfo) -> type[Table] | None:
    """Return the table type that a field holds, optional or an array or neither; None for a plain key."""
    annotation = field.annotation
    many = isinstance(annotation, UnionType) or get_origin(annotation) is tuple
    for kind in get_args(annotation) if many else (annotation,):
        if isinstance(kind, type) and issubclass(kind, OwnTable | ReferenceTable):
            return kind
    return None


def leaves(table: type[Table], path: Path = ()) -> Iterator[tuple[Path, FieldInfo]]:
    """Walk all plain keys below a table type, in the order of their declaration; an array's as its table's."""
    for name, field in table.model_fields.items():
        below = subtable(field)
        if below is None:
            yield (*path, name), field
        else:
            yield from leaves(below, (*path, name))


def find(root: type[Table], path: Path) -> FieldInfo | None:
    """Return the field at a path, None where the model has none. In an array the tables are counted from 0."""
    table: type[Table] | None = root
    field = None
    for name in path:
        if field is not None and is_array(field) and name.isdecimal():
            continue
        field = table.model_fields.get(name) if table else None
        if field is None:
            return None
        table = subtable(field)
    return field
