"""The environment as a source of settings: `$VAR` in a file's text, HYDRA_<TABLE>__<KEY> over its values."""

import re
from collections.abc import Iterator, Mapping

from service.config import faults
from service.config.settings import Settings
from service.config.table import Path, find, is_array, subtable

Tree = dict[str, object]

_PREFIX = "HYDRA_"
# As Go's os.Expand has it: https://pkg.go.dev/os#Expand
_REFERENCE = re.compile(r"\$(?:\{([^}]*)\}|\{|([*#$@!?\-0-9]|[A-Za-z_][A-Za-z0-9_]*))")


def expand(text: str, environ: Mapping[str, str]) -> str:
    """Replace `$VAR` and `${VAR}` by their values, unknown ones by nothing. A `$` cannot be escaped."""
    return _REFERENCE.sub(lambda match: environ.get(match[1] or match[2] or "", ""), text)


def override(tree: Tree, environ: Mapping[str, str]) -> tuple[dict[Path, str], list[faults.PathFault]]:
    """Lay the variables over the tree; return which one set which key, and the faults of their names."""
    overridden: dict[Path, str] = {}
    found: list[faults.PathFault] = []
    for variable, path in _variables(environ):
        fault = _name_fault(path)
        if fault is not None:
            found.append(((variable,), fault))
        elif find(Settings, path) is not None and _place(tree, path, environ[variable]):
            overridden[path] = variable
    return overridden, found


def _variables(environ: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    for variable in sorted(environ):
        if variable.startswith(_PREFIX):
            yield variable, tuple(variable.removeprefix(_PREFIX).lower().split("__"))


def _name_fault(path: Path) -> str | None:
    """Say what is wrong with a name.

    HYDRA_X without `__` may belong to somebody else, so it is a fault only where it looks like a key.
    """
    if array := _array(path):
        return f"is no key: {'.'.join(array)} is an array of tables, [[{'.'.join(array)}]], and has to be in the file"
    field = find(Settings, path)
    if field is not None:
        table = subtable(field)
        return None if table is None else f"names a table; its keys are {', '.join(table.model_fields)}"
    above = find(Settings, path[:-1])
    table = subtable(above) if above else None
    if len(path) == 1:
        plain = [name for name, field in Settings.model_fields.items() if subtable(field) is None]
        return faults.unknown_key_if_near(Settings, path[0], plain)
    return faults.unknown_key(table or Settings, path[-1] if table else path[0])


def _array(path: Path) -> Path | None:
    """Return the array of tables that a path names or leads into."""
    for length in range(1, len(path) + 1):
        field = find(Settings, path[:length])
        if field is not None and is_array(field):
            return path[:length]
    return None


def _place(tree: Tree, path: Path, text: str) -> bool:
    """Put a value where it belongs; False where the file has a plain value in the place of a table."""
    table: object = tree
    for name in path[:-1]:
        table = table.setdefault(name, {}) if isinstance(table, dict) else None
    if not isinstance(table, dict):
        return False
    table[path[-1]] = _typed(path, text)
    return True


def _typed(path: Path, text: str) -> object:
    """Read a text as its key's type; what cannot be read stays text, for the validation to refuse."""
    field = find(Settings, path)
    kind = field.annotation if field else str
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        return int(text) if kind is int else float(text) if kind is float else text
    except (KeyError, ValueError):
        return text
