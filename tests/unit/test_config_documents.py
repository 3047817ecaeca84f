"""The example file and the page on configuration say what the code does: every key, with its default."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import PydanticUndefined

from service.config import Settings, load, parse
from service.config.table import leaves

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "config" / "hydra.example.toml"
PAGE = ROOT / "docs" / "configuration.md"

KEYS = {".".join(path): field for path, field in leaves(Settings)}
OURS = (
    *("grpc.", "client.", "deploy.", "build.", "openapi.", "reconcile.", "services.", "log."),
    *("restate.ingress_url", "restate.http_host", "restate.identity_keys", "restate.inactivity_timeout"),
    *("github.api_url", "github.clone_url"),
    *(key for key in KEYS if key.endswith("_file")),
)
WITHOUT_DEFAULT = {"instance_id", "database.primary", *(key for key in KEYS if key.startswith("grpc.tokens."))}


def uncommented() -> str:
    """Return the example with the keys that it shows in comments set as well."""
    return re.sub(r"^# (?=\[|[a-z0-9_]+ = )", "", EXAMPLE.read_text(), flags=re.MULTILINE)


def flat(table: dict[str, Any], above: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in table.items():
        listed = value if isinstance(value, list) else [value]
        tables = [each for each in listed if isinstance(each, dict)]
        for each in tables:
            found |= flat(each, f"{above}{key}.")
        if not tables:
            found[f"{above}{key}"] = value
    return found


def rows() -> dict[str, list[str]]:
    """Read the page's table: key → type, default, whose, meaning."""
    _, _, keys = PAGE.read_text().partition("\n## Keys\n")
    lines = [line.strip("| ") for line in keys.splitlines() if line.startswith("| `")]
    return {key.strip("`"): cells for key, *cells in (line.split(" | ") for line in lines)}


def test_the_example_as_it_stands_is_the_defaults() -> None:
    read = load(EXAMPLE, {})
    defaults = parse(f'instance_id = "{read.instance_id}"\ndatabase.primary = "sqlite:///hydra.db"', {})

    assert read.model_dump() == defaults.model_dump()
    assert read.ignored_keys == ()


def test_the_example_shows_every_key_and_no_other() -> None:
    assert flat(tomllib.loads(uncommented())).keys() == KEYS.keys()


@pytest.mark.parametrize("key", sorted(KEYS.keys() - WITHOUT_DEFAULT))
def test_the_example_shows_the_default(key: str) -> None:
    read = parse(uncommented(), {})
    value: Any = read
    for name in key.split("."):
        value = getattr(value, name)

    assert KEYS[key].default is not PydanticUndefined
    assert value == KEYS[key].default


def test_the_page_lists_every_key_and_no_other() -> None:
    assert rows().keys() == KEYS.keys()


@pytest.mark.parametrize("key", sorted(KEYS.keys() - WITHOUT_DEFAULT))
def test_the_page_gives_the_default_of_the_example(key: str) -> None:
    shown = rows()[key][1].strip("`")

    assert tomllib.loads(f"value = {shown}")["value"] == flat(tomllib.loads(uncommented()))[key]


@pytest.mark.parametrize("key", sorted(KEYS))
def test_the_page_tells_whose_a_key_is_and_what_is_secret(key: str) -> None:
    kind, _, whose, *_ = rows()[key]

    assert (whose == "ours") == key.startswith(OURS)
    assert (kind == "secret") == (getattr(KEYS[key].annotation, "__name__", "") == "SecretStr")
