"""Messages that are no protobuf, and protobuf with nothing good in it, on every method of the gRPC server."""

import gzip
from typing import Any

import grpc.aio
import hypothesis.strategies as st
import pytest
from google.protobuf.message import Message
from hydra.v1 import deploy_pb2

from service.database import tables
from tests.fuzz.bounds import LIMIT_S
from tests.fuzz.fuzzer import Fuzzer
from tests.fuzz.grpc_calls import RPCS, Call, caller, rpc
from tests.fuzz.hostile import INT64S, TEXTS, int64s, texts
from tests.fuzz.wire import MISTAKES, REQUEST, almost_messages, text
from tests.installation import IMAGE, Installation

pytestmark = [
    pytest.mark.parametrize("server", ["mariadb"], indirect=True, scope="session"),
    pytest.mark.timeout(LIMIT_S),
]

HEALTH = "/grpc.health.v1.Health/Check"
_MIB = 1 << 20


async def test_what_is_no_message_is_refused_as_a_bad_argument(fuzzer: Fuzzer, channel: Any) -> None:
    known = [Call(rpc(name), message) for name in RPCS for message in MISTAKES.values()]
    drawn = st.builds(Call, st.sampled_from([rpc(name) for name in RPCS]), almost_messages())
    await fuzzer.feed(drawn, caller(channel), known)


async def test_what_is_no_message_is_refused_by_the_health_service_too(fuzzer: Fuzzer, channel: Any) -> None:
    def check(message: bytes) -> Call:
        return Call(HEALTH, message, may_succeed=True)

    await fuzzer.feed(almost_messages().map(check), caller(channel), [check(one) for one in MISTAKES.values()])


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_what_is_no_message_is_refused_by_reflection_too(fuzzer: Fuzzer, channel: Any, version: str) -> None:
    method = channel.stream_stream(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo")

    async def ask(message: bytes) -> str:
        call = method(iter([message]), timeout=60)
        try:
            async for _ in call:
                pass
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.INVALID_ARGUMENT:
                return f"answered {error.code().name}: {error.details()}"
        return ""

    await fuzzer.feed(almost_messages(), ask, list(MISTAKES.values()))


async def test_hostile_values_are_refused_and_write_nothing(fuzzer: Fuzzer, channel: Any, live: str) -> None:
    """Most is about what does not exist; some is about a deployment that is live."""
    known = [call for value in TEXTS for call in _each_with(value, live)]
    known += [_deploy(deploy_pb2.DeployRequest(deployment_id="d_none", git=git)) for git in _numbers()]
    await fuzzer.feed(_requests(live), caller(channel), known)


async def test_an_id_is_taken_to_the_letter(
    installation: Installation, fuzzer: Fuzzer, channel: Any, live: str
) -> None:
    """The database takes upper for lower case, and would find the deployment that is live."""
    others = sorted({live.upper(), live.lower(), live.swapcase()} - {live})
    promotes = [deploy_pb2.PromoteRequest(target_deployment_id=one) for one in others]
    known = [Call(rpc("Promote"), request.SerializeToString()) for request in promotes]
    known += [_deploy(deploy_pb2.DeployRequest(deployment_id=one, docker_image={"image": IMAGE})) for one in others]

    await fuzzer.feed(st.sampled_from(known), caller(channel), known)

    refused = await installation.rows(tables.hydra_operations, deployment_id=live)
    assert {row["app_id"] for row in refused if row["deployment_id"] != live} == {None}


async def test_what_is_too_large_is_refused_before_it_is_kept(fuzzer: Fuzzer, channel: Any) -> None:
    def large(size: int, compression: grpc.Compression | None = None) -> Call:
        message = REQUEST + text(100, b"\0" * size)
        return Call(rpc("Deploy"), message, compression=compression, may_be_too_large=len(message) > 4 * _MIB)

    sizes = st.integers(0, 6 * _MIB)
    known = [
        large(4 * _MIB + 1),
        large(16 * _MIB),
        large(4 * _MIB - 100),
        large(3 * _MIB, grpc.Compression.Gzip),
        large(64 * _MIB, grpc.Compression.Gzip),
        large(64 * _MIB, grpc.Compression.Deflate),
        Call(rpc("Deploy"), gzip.compress(REQUEST)),
    ]
    drawn = st.builds(large, sizes, st.sampled_from([None, grpc.Compression.Gzip]))
    await fuzzer.feed(drawn, caller(channel), known)


def _deploy(request: Message, *, may_succeed: bool = False) -> Call:
    return Call(rpc("Deploy"), request.SerializeToString(), may_succeed=may_succeed)


def _each_with(value: str, live: str) -> list[Call]:
    """Put a text into every field that takes one."""
    image, request = deploy_pb2.DockerImage(image=IMAGE), deploy_pb2.DeployRequest
    fields = ("repository", "commit_sha", "context_path", "dockerfile_path", "branch")
    good: dict[str, Any] = {"repository": "acme/shop", "branch": "main"}
    calls = [
        _deploy(request(deployment_id="d_none", git=deploy_pb2.GitSource(**{**good, field: value}))) for field in fields
    ]
    calls += [
        _deploy(request(deployment_id=value, docker_image=image)),
        _deploy(request(deployment_id="d_none", docker_image=image, key_auth_id=value)),
        # What is live is deployed already: that is an answer, and changes nothing.
        _deploy(request(deployment_id=live, docker_image=deploy_pb2.DockerImage(image=value)), may_succeed=True),
        _deploy(request(deployment_id=live, docker_image=image, command=["run", value]), may_succeed=True),
    ]
    rollback = deploy_pb2.RollbackRequest(source_deployment_id=live, target_deployment_id=value)
    promote = deploy_pb2.PromoteRequest(target_deployment_id=value)
    calls += [Call(rpc("Rollback"), rollback.SerializeToString()), Call(rpc("Promote"), promote.SerializeToString())]
    return calls


def _numbers() -> list[deploy_pb2.GitSource]:
    given: list[dict[str, Any]] = [{field: one} for field in ("pr_number", "installation_id") for one in INT64S]
    return [deploy_pb2.GitSource(repository="acme/shop", branch="main", **one) for one in given]


def _requests(live: str) -> st.SearchStrategy[Call]:
    """Draw requests of which every field may be anything."""
    ids = texts() | st.just(live) | st.just("d_none")
    git = st.builds(
        deploy_pb2.GitSource,
        installation_id=int64s(),
        repository=texts() | st.just("acme/shop"),
        commit_sha=texts(),
        context_path=texts(),
        dockerfile_path=texts(),
        branch=texts(),
        pr_number=int64s(),
    )
    sources = st.fixed_dictionaries({"git": git}) | st.fixed_dictionaries(
        {"docker_image": st.builds(deploy_pb2.DockerImage, image=texts())}
    )
    deploys = st.builds(
        lambda one, source, command, key: _deploy(
            deploy_pb2.DeployRequest(deployment_id=one, command=command, key_auth_id=key, **source),
            may_succeed=one == live,
        ),
        ids,
        sources,
        st.lists(texts(), max_size=4),
        texts(),
    )
    rollbacks = st.builds(deploy_pb2.RollbackRequest, source_deployment_id=ids, target_deployment_id=ids)
    promotes = st.builds(deploy_pb2.PromoteRequest, target_deployment_id=ids)
    return (
        deploys
        | rollbacks.map(lambda request: Call(rpc("Rollback"), request.SerializeToString()))
        | promotes.map(lambda request: Call(rpc("Promote"), request.SerializeToString()))
    )
