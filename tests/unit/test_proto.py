"""The wire contract, field by field, in what Python uses and in what `buf breaking` holds changes against."""

import importlib
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from hydra.v1 import deploy_pb2

from tests.descriptors import as_contract, contract

_ROOT = Path(__file__).parents[2]


def generated() -> Iterable[FileDescriptorProto]:
    """Read the descriptors of all generated modules."""
    for path in sorted((_ROOT / "gen").glob("**/*_pb2.py")):
        module = importlib.import_module(".".join(path.relative_to(_ROOT / "gen").with_suffix("").parts))
        yield FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb)


def image() -> Iterable[FileDescriptorProto]:
    """Read the committed image of proto/."""
    return FileDescriptorSet.FromString((_ROOT / "proto" / "hydra.binpb").read_bytes()).file


Source = Callable[[], Iterable[FileDescriptorProto]]
sources = pytest.mark.parametrize("source", [generated, image])


@sources
def test_the_files_are_those_of_the_contract(source: Source) -> None:
    assert set(as_contract(source())) == set(contract())


@sources
@pytest.mark.parametrize("name", sorted(contract()))
def test_a_file_has_all_that_is_in_the_contract_and_nothing_more(source: Source, name: str) -> None:
    actual, expected = as_contract(source())[name], contract()[name]

    assert str(actual) == str(expected)  # shows where they differ
    assert actual == expected  # sees options that have no name here


def test_a_deploy_request_as_go_writes_it_is_read() -> None:
    written = """{"deploymentId":"d_1", "git": {"installationId":"9007199254740993","prNumber":"7"},
        "command":["./app","--port=8080"]}"""
    request = json_format.Parse(written, deploy_pb2.DeployRequest())
    assert request == deploy_pb2.DeployRequest(
        deployment_id="d_1",
        git=deploy_pb2.GitSource(installation_id=9007199254740993, pr_number=7),
        command=["./app", "--port=8080"],
    )
    assert not request.HasField("key_auth_id")
