"""What becomes of a change of the protos: scripts/buf refuses it, or else the tables of the contract do."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from tests.descriptors import as_contract, contract

_ROOT = Path(__file__).parents[2]
_DEPLOY, _DEPLOYMENT, _GITHUB, _OPENAPI, _VERSIONING = (
    f"hydra/v1/{name}.proto" for name in ("deploy", "deployment", "github_status", "openapi", "versioning")
)
_OPTIONS = "dev/restate/sdk/go.proto"

# Kind of change → file, what is there, what comes in its place, and what buf says of it.
REFUSED = {
    "field renumbered": (_DEPLOY, r"string branch = 6", "string branch = 8", 'field "6" with name "branch"'),
    "field renamed": (_DEPLOY, r"string commit_sha = 3", "string commit = 3", 'changed name from "commit_sha"'),
    "field's type": (_DEPLOY, r"int64 pr_number", "int32 pr_number", "changed type"),
    "field's message": (_DEPLOY, r"DockerImage docker_image", "GitSource docker_image", "changed type"),
    "field removed": (_DEPLOY, r"  string context_path = 4;\n", "", 'field "4" with name "context_path"'),
    "json name": (_DEPLOY, r"branch = 6", 'branch = 6 [json_name = "ref"]', 'option "json_name"'),
    "presence gone": (_DEPLOY, r"optional string key_auth_id", "string key_auth_id", "to .*implicit presence"),
    "presence new": (_DEPLOYMENT, r"string nonce", "optional string nonce", "to .*explicit presence"),
    "no more repeated": (_DEPLOY, r"repeated string command", "string command", 'from "repeated"'),
    "now repeated": (_DEPLOY, r"string image", "repeated string image", 'to "repeated"'),
    "oneof removed": (_DEPLOY, r"oneof source \{(.*?)\n  \}", r"\1", 'oneof "source".* was deleted'),
    "oneof renamed": (_DEPLOY, r"oneof source", "oneof origin", 'to oneof "origin"'),
    "field into a oneof": (
        _DEPLOY,
        r"(  string deployment_id = 1;)",
        r"  oneof id {\n  // Why.\n\1\n  }",
        "outside to inside",
    ),
    "message renamed": (_DEPLOY, r"DockerImage( .*?)message DockerImage", r"Image\1message Image", '"DockerImage" was'),
    "enum value removed": (_DEPLOYMENT, r"  \w+STATE_ARCHIVED = 3;\n", "", 'enum value "3"'),
    "enum value renamed": (_DEPLOYMENT, r"STATE_STANDBY", "STATE_RESTING", "changed name"),
    "enum value renumbered": (_GITHUB, r"STATE_QUEUED = 7", "STATE_QUEUED = 8", 'enum value "7"'),
    "rpc removed": (_DEPLOY, r"  rpc Rollback.*?\n  \}\n", "", 'RPC "Rollback"'),
    "rpc renamed": (_DEPLOY, r"rpc Promote\(", "rpc MakeLive(", "MakeLive"),
    "rpc's request": (_DEPLOY, r"rpc Promote\(Promote", "rpc Promote(Rollback", "request type"),
    "rpc's response": (_DEPLOY, r"\(PromoteResponse", "(RollbackResponse", "response type"),
    "stream of requests": (_DEPLOY, r"rpc Deploy\(", "rpc Deploy(stream ", "to client streaming"),
    "stream of responses": (_DEPLOY, r"\(DeployResponse", "(stream DeployResponse", "to server streaming"),
    "service renamed": (_OPENAPI, r"service OpenapiService", "service OpenAPIService", 'service "OpenapiService"'),
    "package": (_OPENAPI, r"package hydra\.v1", "package hydra.v2", "package"),
    "Go package": (_OPENAPI, r"v1;hydrav1", "v2;hydrav2", "go_package"),
    "value of an option": (_OPTIONS, r"SHARED = 2", "SHARED = 4", 'enum value "2"'),
}
_COMMENT = "  // Why.\n"
NOT_SEEN = {
    "service type": (_VERSIONING, r"= VIRTUAL_OBJECT", "= SERVICE"),
    "no service type": (_VERSIONING, r"  option \([\w.]+service_type\) = VIRTUAL_OBJECT;\n", ""),
    "handler type": (_VERSIONING, r"= SHARED", "= EXCLUSIVE"),
    "no handler type": (_VERSIONING, r" \{\n    option [^}]+= SHARED;\n  \}", ";"),
    "number of an option": (_OPTIONS, r"service_type = 2051", "service_type = 2052"),
    "field of a response": (_DEPLOY, r"DeployResponse \{", f"DeployResponse {{\n{_COMMENT}  string image = 1;\n"),
    "field of a request": (_DEPLOY, r"PromoteRequest \{", f"PromoteRequest {{\n{_COMMENT}  bool force = 2;\n"),
    "member of a oneof": (_DEPLOY, r"oneof source \{", f"oneof source {{\n{_COMMENT}    string archive = 6;"),
    "enum value": (_DEPLOYMENT, r"\w+STATE_ARCHIVED = 3;", rf"\g<0>\n{_COMMENT}  DEPLOYMENT_DESIRED_STATE_LOST = 4;"),
    "deprecated field": (_DEPLOY, r"branch = 6", "branch = 6 [deprecated = true]"),
}
ADDITION = (
    _VERSIONING,
    r"rpc NextVersion.*?;\n(.*)",
    rf"""\g<0>
// Why.
message ForgetVersionRequest {{}}

// Why.
message ForgetVersionResponse {{}}

// Why.
service ForgettingService {{
{_COMMENT}  rpc ForgetVersion(ForgetVersionRequest) returns (ForgetVersionResponse);
}}
""",
)


class Checkout:
    """A copy of all that scripts/buf reads."""

    def __init__(self, folder: Path) -> None:
        for name in ("proto", "scripts"):
            shutil.copytree(_ROOT / name, folder / name)
        shutil.copy(_ROOT / "buf.yaml", folder)
        (folder / ".venv").symlink_to(_ROOT / ".venv")
        self._folder = folder

    def change(self, file: str, pattern: str, replacement: str) -> None:
        path = self._folder / "proto" / file
        changed, times = re.subn(pattern, replacement, path.read_text(), flags=re.DOTALL)
        assert times == 1
        path.write_text(changed)

    def remove(self, file: str) -> None:
        (self._folder / "proto" / file).unlink()

    def buf(self, *arguments: str) -> tuple[int, str]:
        """Run scripts/buf; returns its exit code and what it said."""
        ended = self._run("scripts/buf", *arguments)
        return ended.returncode, (ended.stdout + ended.stderr).decode()

    def differs_from_contract(self) -> bool:
        built = self._run(".venv/bin/buf", "build", "--output=-")
        assert built.returncode == 0, built.stderr
        return as_contract(FileDescriptorSet.FromString(built.stdout).file) != contract()

    def _run(self, *command: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(command, cwd=self._folder, capture_output=True, check=False)  # noqa: S603 - no shell


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_what_is_there_passes(checkout: Checkout) -> None:
    assert checkout.buf() == (0, "")
    assert not checkout.differs_from_contract()


@pytest.mark.parametrize(("file", "pattern", "replacement", "said"), REFUSED.values(), ids=REFUSED)
def test_a_breaking_change_is_refused_twice(
    checkout: Checkout, file: str, pattern: str, replacement: str, said: str
) -> None:
    checkout.change(file, pattern, replacement)

    code, output = checkout.buf()

    assert code != 0
    assert re.search(said, output), output
    assert checkout.differs_from_contract()


def test_a_removed_file_is_refused(checkout: Checkout) -> None:
    checkout.remove(_OPENAPI)

    code, output = checkout.buf()

    assert code != 0
    assert f'file "{_OPENAPI}" was deleted' in output


@pytest.mark.parametrize(("file", "pattern", "replacement"), NOT_SEEN.values(), ids=NOT_SEEN)
def test_what_buf_does_not_see_is_against_the_contract(
    checkout: Checkout, file: str, pattern: str, replacement: str
) -> None:
    """A field that was added breaks a Go caller of before it (01 · 4); the options are beyond what buf looks at."""
    checkout.change(file, pattern, replacement)

    assert checkout.buf() == (0, "")
    assert checkout.differs_from_contract()


def test_an_addition_is_accepted_and_held_from_then_on(checkout: Checkout) -> None:
    checkout.change(*ADDITION)
    assert checkout.buf("--accept") == (0, "")

    checkout.change(_VERSIONING, r"  rpc ForgetVersion.*?;\n", "")
    code, output = checkout.buf()
    assert code != 0
    assert 'RPC "ForgetVersion"' in output
