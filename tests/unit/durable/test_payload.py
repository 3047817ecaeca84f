import pytest
from hydra.v1 import deploy_pb2

from service.durable.payload import decode, encode
from service.errors import InvalidArgument

GIT = deploy_pb2.DeployRequest(
    deployment_id="d_1", git=deploy_pb2.GitSource(installation_id=2**53 + 1, repository="o/r", pr_number=7)
)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (
            b'{"deploymentId":"d_1","git":{"installationId":"9007199254740993","repository":"o/r","prNumber":"7"}}',
            "application/json",
        ),
        (b'{"deployment_id":"d_1","git":{"installation_id":9007199254740993,"repository":"o/r","pr_number":7}}', None),
        (
            (
                b' { "deploymentId":  "d_1", "later": 1, "git":'
                b'{"installationId":"9007199254740993","repository":"o/r","prNumber":"7"}}'
            ),
            "*/*",
        ),
        (GIT.SerializeToString(), "application/proto"),
        (GIT.SerializeToString(), "application/x-protobuf"),
        (GIT.SerializeToString(), None),
    ],
    ids=["protojson", "snake case and numbers", "unknown field", "proto", "x-protobuf", "no header"],
)
def test_reads_what_callers_send(body: bytes, content_type: str | None) -> None:
    assert decode(body, content_type, deploy_pb2.DeployRequest) == GIT


@pytest.mark.parametrize("body", [b"", b"{}", b" \n"])
def test_an_absent_body_is_the_empty_message(body: bytes) -> None:
    assert decode(body, "application/json", deploy_pb2.DeployRequest) == deploy_pb2.DeployRequest()


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'"d_1"',
        b'{"deploymentId": 5}',
        b'{"git":{"installationId":"x"}}',
        b'{"git":{},"dockerImage":{}}',
        b"\xff\xfe{}",
        b'{"deploymentId":"\xff"}',
        b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
    ],
)
def test_malformed_json_is_the_callers_fault(body: bytes) -> None:
    with pytest.raises(InvalidArgument) as raised:
        decode(body, "application/json", deploy_pb2.DeployRequest)
    assert raised.value.facts["field"] == "body"
    assert len(raised.value.message) < 400


def test_malformed_binary_is_the_callers_fault() -> None:
    with pytest.raises(InvalidArgument):
        decode(b"\x0a\xff", "application/proto", deploy_pb2.DeployRequest)


def test_the_empty_answer_is_an_object_and_never_zero_bytes() -> None:
    assert encode(deploy_pb2.DeployResponse()) == b"{}"
