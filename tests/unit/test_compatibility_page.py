"""docs/compatibility.md says what is so: its tests are there, its versions are the pinned ones, no rpc is left out."""

import json
import re
from pathlib import Path

import pytest

from tests.wire_contract import FILES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "compatibility.md").read_text()
NOT_CALLED = "\N{EN DASH}"
BY_THE_TABLES = "tests.wire_contract"  # what a test imports that takes the rpcs' names from there
VERSIONED = {
    "github.com/restatedev/sdk-go",
    "google.golang.org/protobuf",
    "google.golang.org/grpc",
    "github.com/fullstorydev/grpcurl",
    "grpcio",
    "restate-sdk",
    "@restatedev/restate-server-linux-x64",
}


def table(section: str) -> list[list[str]]:
    """Read a section's table, with its head."""
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def pinned() -> dict[str, str]:
    """Read what the locks name: package → version without a v."""
    found: dict[str, str] = {}
    for name in ("tools/buildkit/go.mod", "tests/interop/go/go.mod"):  # what both name is meant as the latter has it
        found |= dict(re.findall(r"^\s+(\S+) v(\S+)", (ROOT / name).read_text(), re.MULTILINE))
    found |= dict(re.findall(r"^([\w-]+)==(\S+)", (ROOT / "requirements-dev.lock").read_text(), re.MULTILINE))
    found |= json.loads((ROOT / "tools" / "package.json").read_text())["optionalDependencies"]
    return found


def files_of(client: str) -> list[Path]:
    (row,) = (row for row in table("Clients") if row[0] == client)
    return [ROOT / path for path in row[3].split(", ")]


NAMED = re.findall(r"`([\w./@-]+)` (\d+(?:\.\d+)+)", PAGE)
HEAD, *ROWS = table("Every rpc")
CLAIMS = [(row[0], client, cell) for row in ROWS for client, cell in zip(HEAD[1:], row[1:], strict=True)]


@pytest.mark.parametrize("path", sorted(set(re.findall(r"tests/[\w/]+\.py", PAGE))))
def test_a_file_that_is_named_is_there(path: str) -> None:
    assert (ROOT / path).is_file()


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([\w-]+\.md)", PAGE))))
def test_a_page_that_is_linked_is_there(link: str) -> None:
    assert (ROOT / "docs" / link).is_file()


@pytest.mark.parametrize(("package", "version"), NAMED)
def test_a_version_is_the_pinned_one(package: str, version: str) -> None:
    assert version == pinned()[package]


def test_what_was_run_has_its_version() -> None:
    assert {package for package, _ in NAMED} >= VERSIONED


def test_every_rpc_has_its_row() -> None:
    rpcs = {
        f"{service}/{rpc}" for file in FILES.values() for service, of_it in file.services.items() for rpc in of_it.rpcs
    }
    assert sorted(row[0] for row in ROWS) == sorted(rpcs)


def test_the_clients_of_both_tables_are_the_same() -> None:
    assert [row[0] for row in table("Clients")] == ["client", *HEAD[1:]]


@pytest.mark.parametrize(("rpc", "client", "claim"), [claim for claim in CLAIMS if claim[2] != NOT_CALLED])
def test_what_was_called_is_in_a_test_of_the_client(rpc: str, client: str, claim: str) -> None:
    assert claim
    name = rpc.partition("/")[2]
    texts = [path.read_text() for path in files_of(client)]
    assert any(re.search(rf"\b{name}\b", text) or BY_THE_TABLES in text for text in texts)


@pytest.mark.parametrize(
    "path", sorted({path for client in HEAD[1:] for path in files_of(client)}), ids=lambda path: path.name
)
def test_what_a_test_calls_is_in_the_table(path: Path) -> None:
    claimed = {rpc for rpc, client, claim in CLAIMS if path in files_of(client) and claim != NOT_CALLED}
    named = {rpc for rpc, *_ in ROWS if rpc in path.read_text()}
    assert named <= claimed
