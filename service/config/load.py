"""From a file and an environment to Settings: read, expand, override, check. All faults come at once."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from service.config import faults, rules, secret_files
from service.config.environment import Tree, expand, override
from service.config.faults import ConfigError
from service.config.settings import Settings

_DEFAULT_FILE = "unkey.toml"


def load(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the file: by default the one that UNKEY_CONFIG names, else `unkey.toml`. Raises ConfigError."""
    file = path or Path(environ.get("UNKEY_CONFIG") or _DEFAULT_FILE)
    if file.suffix != ".toml":
        raise ConfigError(str(file), [(str(file), "its name must end in .toml")])
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(str(file), [(str(file), f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError:
        raise ConfigError(str(file), [(str(file), "is not UTF-8")]) from None
    settings = parse(text, environ, str(file))
    settings._source = file  # noqa: SLF001 - known only here
    return settings


def read_file(path: str, key: str) -> bytes:
    """Read a file that a key names. Raises ConfigError."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(path, [(key, f"names a file that cannot be read: {error.strerror}")]) from None


def parse(text: str, environ: Mapping[str, str], source: str = "text") -> Settings:
    """Turn TOML text into Settings, `source` naming it in the faults. Raises ConfigError."""
    try:
        tree: Tree = tomllib.loads(expand(text, environ))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(source, [(source, f"is not TOML: {error}")]) from None
    except (ValueError, RecursionError):  # Python's own bounds, on the digits of a number and on nesting
        raise ConfigError(
            source, [(source, "is not TOML: a number in it is too long, or it is nested too deep")]
        ) from None
    overridden, found = override(tree, environ)
    tree.setdefault("database", {})  # so that the fault names the missing key, not the table
    in_files, unread = secret_files.fill_in(tree)
    unknown = list(faults.unknown_keys(Settings, tree))
    settings, invalid = _validate(tree)
    found += [*unread, *((path, text) for path, text in unknown if text is not None), *invalid]
    found += rules.cross_field(tree)
    if settings is None or found:
        told: dict[str, str] = {}
        for path, fault in found:
            by = in_files.get(path, path)
            told.setdefault(overridden.get(by, ".".join(by)), fault)  # what follows from a key's first one is no news
        raise ConfigError(source, list(told.items()))
    settings._ignored_keys = tuple(sorted(".".join(path) for path, _ in unknown))  # noqa: SLF001 - known only here
    return settings


def _validate(tree: Tree) -> tuple[Settings | None, list[faults.PathFault]]:
    try:
        return Settings.model_validate(tree), []
    except ValidationError as error:
        return None, list(faults.invalid_values(Settings, error))
