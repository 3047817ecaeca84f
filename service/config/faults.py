"""What is wrong with a configuration: every fault, by key, in words that never hold a secret."""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from service.config.table import Path, ReferenceTable, Table, find, subtable
from service.errors import HydraError

Fault = tuple[str, str]
PathFault = tuple[Path, str]

_LONGEST_VALUE_SHOWN = 60
_CLOSE = 0.75


class ConfigError(HydraError):
    """The configuration cannot be used; the message lists all that is wrong with it.

    `faults` holds every (key, text), sorted. A key is dotted as in the file, or the name of the environment
    variable that set it.
    """

    def __init__(self, source: str, faults: list[Fault]) -> None:
        self.faults: tuple[Fault, ...] = tuple(sorted(faults))
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        lines = "".join(f"\n  {key}: {text}" for key, text in self.faults)
        super().__init__(f"{count} in the configuration ({source}):{lines}", reason="CONFIGURATION_INVALID")


def invalid_values(root: type[Table], error: ValidationError) -> Iterator[PathFault]:
    """Yield what pydantic found, path and text; unknown keys are left to `unknown_keys`."""
    for detail in error.errors(include_url=False):
        path = tuple(str(part) for part in detail["loc"])
        if detail["type"] != "extra_forbidden":
            yield path, _text(root, path, detail)


def _text(root: type[Table], path: Path, detail: ErrorDetails) -> str:
    if detail["type"] == "missing":
        return "is required"
    if detail["type"] == "model_type":
        return "must be a table"
    if detail["type"] == "value_error":
        return str(detail["ctx"]["error"])
    words = detail["msg"].replace("Input should", "must").replace("String should", "must")
    return words + _shown(root, path, detail)


def _shown(root: type[Table], path: Path, detail: ErrorDetails) -> str:
    field = find(root, path)
    value = detail["input"]
    if field is None or _is_hidden(field) or not isinstance(value, str | int | float):
        return ""
    return f" (got {value[:_LONGEST_VALUE_SHOWN]!r})" if isinstance(value, str) else f" (got {value})"


def _is_hidden(field: FieldInfo) -> bool:
    return field.annotation is SecretStr or not field.repr or subtable(field) is not None


def unknown_keys(root: type[Table], tree: dict[str, object]) -> Iterator[tuple[Path, str | None]]:
    """Yield every key of a tree that its table does not have, with its fault, or None where it is ignored.

    A table of the reference ignores unknown keys, unless they look like a key of ours.
    """
    for key, value in tree.items():
        field = root.model_fields.get(key)
        below = subtable(field) if field else None
        if field is None:
            yield (key,), _unknown(root, key)
        elif below is not None:
            for place, table in _tables((key,), value):
                yield from (((*place, *path), text) for path, text in unknown_keys(below, table))


def _tables(path: Path, value: object) -> Iterator[tuple[Path, dict[str, object]]]:
    """Yield the tables that a value is: itself, or those of its array."""
    if isinstance(value, dict):
        yield path, value
    elif isinstance(value, list):
        yield from (((*path, f"{index}"), row) for index, row in enumerate(value) if isinstance(row, dict))


def _unknown(table: type[Table], key: str) -> str | None:
    if issubclass(table, ReferenceTable):
        return unknown_key_if_near(table, key, table.ours)
    return unknown_key(table, key)


def unknown_key(table: type[Table], key: str) -> str:
    """Say that a table has no such key, and name the nearest one, or all of them where none is near."""
    near = get_close_matches(key, table.model_fields, n=1)
    known = ", ".join(table.model_fields)
    return f"is unknown; did you mean {near[0]}?" if near else f"is unknown; known are {known}"


def unknown_key_if_near(table: type[Table], key: str, names: Iterable[str]) -> str | None:
    """Say so only where the key looks like a misspelt one of the names."""
    return unknown_key(table, key) if get_close_matches(key, names, n=1, cutoff=_CLOSE) else None
