"""Metadata that nobody should send, and methods that nobody serves."""

import uuid
from string import ascii_lowercase, digits
from typing import Any

import hypothesis.strategies as st
import pytest
from hydra.v1 import deploy_pb2

from tests.fuzz.bounds import LIMIT_S
from tests.fuzz.fuzzer import Fuzzer
from tests.fuzz.grpc_calls import Call, Metadata, caller, rpc
from tests.fuzz.wire import REQUEST

pytestmark = [
    pytest.mark.parametrize("server", ["mariadb"], indirect=True, scope="session"),
    pytest.mark.timeout(LIMIT_S),
]

OURS = (
    "x-hydra-mode",
    "x-hydra-caller",
    "idempotency-key",
    "x-restate-key",
    "traceparent",
    "tracestate",
    "authorization",
    "x-restate-id",
    "x-hydra-deployment-id",
    "grpc-status",
)
PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))  # a client in order sends nothing else
VALUES = (
    "",
    " ",
    "  x  ",
    "wait",
    "WAIT",
    "submit",
    "submit,wait",
    "/",
    "a/b",
    "?",
    "#",
    "%",
    "%2F",
    "%00",
    "%zz",
    ".",
    "..",
    "../..",
    "../../restate/health",
    "\\",
    ";",
    "'",
    '"',
    "a,b",
    "Deploy/send",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "00-" + "0" * 32 + "-" + "0" * 16 + "-00",
    "ff-xyz",
    "Bearer",
    "Bearer x",
    "k" * 512,
    "k" * 513,
    "k" * 7000,
)
PATHS = (
    "/",
    "//",
    "/x",
    "/x/y",
    "/hydra.v1.DeployService",
    "/hydra.v1.DeployService/",
    "/hydra.v1.DeployService/deploy",
    "/hydra.v1.DeployService/Deploy/",
    "/hydra.v1.DeployService/Deploy/send",
    "/hydra.v1.DeployService//Deploy",
    "/hydra.v1.DeploymentService/ScheduleDesiredStateChange",
    "/hydra.v1.VersioningService/NextVersion",
    "/hydra.v1.DeployService/%44eploy",
    "/hydra.v1.DeployService/Deploy?x=y",
    "/../hydra.v1.DeployService/Deploy",
    "/grpc.health.v1.Health/Nope",
    "/" + "a" * 7000,
)
_SOFT_LIMIT = 8 * 1024  # of gRPC itself: beyond it metadata are refused, or not, by chance


def _call(metadata: Metadata) -> Call:
    """Promote what does not exist: that goes through Restate, and the key into a path."""
    size = sum(len(key) + len(value) + 32 for key, value in metadata)
    message = deploy_pb2.PromoteRequest(target_deployment_id="d_none").SerializeToString()
    submitted = ("x-hydra-mode", "submit") in metadata  # and so accepted, before anybody looks
    return Call(rpc("Promote"), message, metadata, may_succeed=submitted, may_be_too_large=size > _SOFT_LIMIT)


async def test_metadata_of_any_value_are_taken_or_refused(fuzzer: Fuzzer, channel: Any) -> None:
    known = [_call(((key, value),)) for key in OURS for value in VALUES]
    known += [
        _call((("x-hydra-mode", "wait"), ("x-hydra-mode", "nope"))),
        _call((("idempotency-key", "a"), ("idempotency-key", "b"))),
        _call(tuple((key + "-bin", b"\xff\0") for key in OURS)),
        _call(tuple((f"x-{number}", "v") for number in range(1000))),
        _call((("x-big", "v" * 100_000),)),
    ]
    await fuzzer.feed(_metadata().map(_call), caller(channel), known)


async def test_a_mode_of_any_value_makes_no_attempt(fuzzer: Fuzzer, channel: Any) -> None:
    """Deploy what does not exist, with keys that begin an invocation all the same."""

    def deploy(mode: str, key: str) -> Call:
        own = f"{uuid.uuid4()}{key}"
        # What is submitted ends with its acceptance, and then in Restate.
        return Call(
            rpc("Deploy"), REQUEST, (("x-hydra-mode", mode), ("idempotency-key", own)), may_succeed=mode == "submit"
        )

    modes, keys = st.sampled_from(VALUES[:8]), st.text(PRINTABLE, max_size=470)
    await fuzzer.feed(st.builds(deploy, modes, keys), caller(channel), [deploy(mode, "") for mode in VALUES])


async def test_methods_that_nobody_serves_are_unimplemented(fuzzer: Fuzzer, channel: Any) -> None:
    drawn = st.text(PRINTABLE, max_size=100).map(lambda path: Call(f"/{path}", REQUEST))
    await fuzzer.feed(drawn, caller(channel), [Call(path, REQUEST) for path in PATHS])


def _metadata() -> st.SearchStrategy[Metadata]:
    names = st.sampled_from(OURS) | st.text(ascii_lowercase + digits + "-_.", min_size=1, max_size=40).map("x-".__add__)
    values = st.sampled_from(VALUES) | st.text(PRINTABLE, max_size=600)
    plain = st.tuples(names.filter(lambda name: not name.endswith("-bin")), values)
    binary = st.tuples(names.map(lambda name: f"{name}-bin"), st.binary(max_size=600))
    pairs: st.SearchStrategy[tuple[str, str | bytes]] = plain | binary
    return st.lists(pairs, max_size=6).map(tuple)
