"""Secrets in files of their own: what stands in the file that `<key>_file` names becomes the value of `<key>`."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path as File

from service.config.environment import Tree
from service.config.faults import PathFault
from service.config.settings import Settings
from service.config.table import Path, find, leaves


def fill_in(tree: Tree) -> tuple[Mapping[Path, Path], list[PathFault]]:
    """Put each such secret where it belongs; return the path of every secret so named, by its own, and the faults."""
    named: dict[Path, Path] = {}
    faults: list[PathFault] = []
    for path, by in _secrets():
        table = _table(tree, path[:-1])
        name = table.get(by[-1])
        if not isinstance(name, str) or not name:
            continue
        if table.get(path[-1]):
            faults.append((by, f"is set as well as {'.'.join(path)}: set one of the two"))
            continue
        named[path] = by
        try:
            table[path[-1]] = _read(name)
        except ValueError as error:
            faults.append((by, str(error)))
    return named, faults


def _secrets() -> Iterator[tuple[Path, Path]]:
    """Yield each key that may stand in a file, and the key that names the file."""
    for path, _ in leaves(Settings):
        by = (*path[:-1], f"{path[-1]}_file")
        if find(Settings, by) is not None:
            yield path, by


def _table(tree: Tree, path: Path) -> Tree:
    table: object = tree
    for name in path:
        table = table.get(name) if isinstance(table, dict) else None
    return table if isinstance(table, dict) else {}


def _read(name: str) -> str:
    """Read a secret, without the newline that an editor leaves at its end. Raises ValueError, which never shows it."""
    try:
        text = File(name).read_bytes().decode()
    except OSError as error:
        raise ValueError(f"names a file that cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError("names a file that is not UTF-8") from None
    secret = re.sub(r"\r?\n\Z", "", text)
    if not secret.strip():
        raise ValueError("names a file that is empty")
    return secret
