"""What keys demand of each other. Rules look at the raw tree, so that they speak even where other keys are wrong."""

from collections.abc import Iterator
from datetime import timedelta

from service.config.faults import PathFault
from service.config.own import DeploySettings
from service.config.table import Path
from service.config.values import parse_duration
from service.database.dsn import parse as parse_dsn


def cross_field(tree: dict[str, object]) -> Iterator[PathFault]:
    """Yield the faults of keys that depend on each other.

    The reference's rules for parts that we do not have (ACME) are left out: `reference` says why.
    """
    if _filled(tree, ("registry", "password")):
        for path in (("depot", "api_url"), ("registry", "url"), ("registry", "username")):
            if not _filled(tree, path):
                yield path, "is required because registry.password is set"
    wait = _duration(tree, "health_timeout")
    for key in ("health_poll", "health_steady"):
        pause = _duration(tree, key)
        if wait is not None and pause is not None and pause >= wait:
            yield ("deploy", key), "must be shorter than deploy.health_timeout"
    dialects = {_dialect(tree, key) for key in ("primary", "readonly_replica")} - {None}
    if len(dialects) > 1:
        yield ("database", "readonly_replica"), "must be the same kind of database as database.primary"


def _value(tree: dict[str, object], path: Path) -> object:
    value: object = tree
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _filled(tree: dict[str, object], path: Path) -> bool:
    value = _value(tree, path)
    return isinstance(value, str) and value != ""


def _dialect(tree: dict[str, object], key: str) -> str | None:
    value = _value(tree, ("database", key))
    try:
        return parse_dsn(value).dialect if isinstance(value, str) and value else None
    except ValueError:
        return None


def _duration(tree: dict[str, object], key: str) -> timedelta | None:
    value = _value(tree, ("deploy", key))
    if value is None:
        default: timedelta = DeploySettings.model_fields[key].default
        return default
    try:
        return parse_duration(value) if isinstance(value, str) else None
    except ValueError:
        return None
