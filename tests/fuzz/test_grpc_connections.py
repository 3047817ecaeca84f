"""What comes to the gRPC port from programs that speak no gRPC, or a broken one: the server outlives them."""

import asyncio
from typing import Any

import grpc.aio
import hypothesis.strategies as st
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hydra.v1 import deploy_pb2

from tests.fuzz import http2
from tests.fuzz.bounds import LIMIT_S
from tests.fuzz.connection import say
from tests.fuzz.fuzzer import Fuzzer
from tests.fuzz.grpc_calls import rpc
from tests.fuzz.http2 import OPENING, frame, request
from tests.installation import Installation
from tests.waiting import until

pytestmark = [
    pytest.mark.parametrize("server", ["mariadb"], indirect=True, scope="session"),
    pytest.mark.timeout(LIMIT_S),
]

_A_MOMENT_S = 0.3  # of silence: a request that is not whole gets no answer
_A_TRY_S = 3
_WITHIN_S = 30

MESSAGE = deploy_pb2.PromoteRequest(target_deployment_id="d_none").SerializeToString()
FRAMED = b"\0" + len(MESSAGE).to_bytes(4, "big") + MESSAGE
FIELDS = {
    b":method": b"POST",
    b":scheme": b"http",
    b":path": rpc("Promote").encode(),
    b":authority": b"x",
    b"content-type": b"application/grpc",
    b"te": b"trailers",
}
OURS = (b"x-hydra-mode", b"x-hydra-caller", b"idempotency-key", b"x-restate-key", b"traceparent", b"authorization")
VALUES = (b"", b"\0", b"\x01", b"a\r\nx-hydra-mode: submit", b"\t", b"\x1b[2J", b"\x7f", b"\xff\xfe", "é😀".encode())


def changed(**given: bytes | None) -> bytes:
    """Write a request with other header fields, or without them."""
    names = {"method": b":method", "scheme": b":scheme", "path": b":path", "authority": b":authority"}
    fields: dict[bytes, bytes | None] = {
        **FIELDS,
        **{names.get(key, key.replace("_", "-").encode()): value for key, value in given.items()},
    }
    return OPENING + request([(name, value) for name, value in fields.items() if value is not None], FRAMED)


def added(name: bytes, value: bytes) -> bytes:
    return OPENING + request([*FIELDS.items(), (name, value)], FRAMED)


def posted(body: bytes) -> bytes:
    return OPENING + request(FIELDS.items(), body)


BROKEN = [
    b"",
    b"\0" * 1000,
    b"\xff" * 1000,
    b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
    b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + b"x" * 300,  # a TLS greeting
    http2.PREFACE,
    http2.PREFACE + b"\xff" * 500,
    OPENING + b"\xff\xff\xff\0\0\0\0\0\1",
    OPENING + frame(http2.DATA, b"x", flags=1, stream=1),
    OPENING + frame(http2.SETTINGS, b"abc"),
    OPENING + frame(http2.SETTINGS) * 500,
    OPENING + frame(http2.PING, b"x" * 8) * 500,
    OPENING + frame(http2.PING, b"x"),
    OPENING + frame(http2.WINDOW_UPDATE, b"\0" * 4),
    OPENING + frame(http2.WINDOW_UPDATE, b"\x7f\xff\xff\xff") * 3,
    OPENING + frame(http2.GOAWAY, b"\0" * 8),
    OPENING + frame(http2.PUSH_PROMISE, b"\0\0\0\2", flags=4, stream=1),
    OPENING + frame(99, b"xx", flags=255),
    OPENING + frame(http2.HEADERS, b"\xff" * 8 + b"\x0f", flags=5, stream=1),
    OPENING + frame(http2.HEADERS, b"\xbe" * 10_000, flags=5, stream=1),
    OPENING + http2.headers(FIELDS.items(), flags=0) + frame(http2.CONTINUATION, b"\0\x01a\x01b" * 2000, stream=1) * 5,
    OPENING
    + b"".join(
        http2.headers(FIELDS.items(), stream=stream) + frame(http2.RST_STREAM, b"\0\0\0\x08", stream=stream)
        for stream in range(1, 999, 2)
    ),
    OPENING + request(FIELDS.items(), FRAMED, stream=2),
    *(changed(**{name: None}) for name in ("method", "scheme", "path", "authority", "te", "content_type")),
    *(changed(method=value) for value in (b"GET", b"PUT", b"\xff", b"")),
    *(changed(path=value) for value in (b"", b"*", b"x", b"/\0", b"/%ff")),
    *(changed(content_type=value) for value in (b"application/json", b"application/grpc+json", b"text/html", b"\xff")),
    *(changed(te=value) for value in (b"", b"gzip")),
    *(added(name, value) for name in OURS for value in VALUES),
    *(added(b"grpc-timeout", value) for value in (b"", b"x", b"-1S", b"0n", b"99999999999H", b"1" * 100 + b"S")),
    *(added(b"grpc-encoding", value) for value in (b"gzip", b"br", b"\xff")),
    *(added(name, b"x") for name in (b"", b"A", b"a b", b":x", b"\xff", b"x" * 9000, b"x-bin", b"host")),
    *(posted(body) for body in (b"", b"\0", FRAMED[:7], FRAMED + b"x", FRAMED * 2)),
    posted(b"\1" + FRAMED[1:]),  # said to be compressed
    posted(b"\xff" + FRAMED[1:]),
    posted(b"\0\xff\xff\xff\xff"),  # said to be of four gigabytes
    posted(b"\0\0\0\0\1" + MESSAGE),
]


async def test_the_server_outlives_what_is_no_grpc(installation: Installation, fuzzer: Fuzzer, channel: Any) -> None:
    async def send(data: bytes) -> str:
        await say(installation.stack.grpc_address, data, patience_s=_A_MOMENT_S, enough=http2.is_answer)
        return await _check(channel)

    await fuzzer.feed(_connections(), send, BROKEN)


async def test_a_path_that_is_no_text_does_not_end_the_server(installation: Installation, channel: Any) -> None:
    """grpc.aio takes it for an error of its own and stops listening (grpcio 1.85)."""
    await say(installation.stack.grpc_address, changed(path=b"/\xff"), patience_s=60, enough=http2.is_answer)

    assert await _check(channel) == ""
    await installation.deployed(await installation.world())
    assert installation.stack.worker.exit_code is None


async def _check(channel: Any) -> str:
    """Ask for the server's health, until it is well: it may be about to come back, and lose a call meanwhile."""
    stub: Any = health_pb2_grpc.HealthStub(channel)

    async def well() -> bool:
        try:
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=_A_TRY_S)
        except grpc.aio.AioRpcError as error:
            if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                raise
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    try:
        await asyncio.wait_for(until(well), _WITHIN_S)
    except TimeoutError:
        return "the server is not well any more"
    return ""


def _connections() -> st.SearchStrategy[bytes]:
    """Draw requests with one odd field, frames of any kind, and bytes."""
    plain = st.binary(max_size=40).filter(lambda name: not name.startswith(b":path"))
    fields = st.tuples(st.sampled_from([*OURS, *FIELDS]).filter(b":path".__ne__) | plain, st.binary(max_size=200))
    frames = st.builds(
        lambda kind, payload, flags, stream: frame(kind, payload, flags=flags, stream=stream),
        st.integers(0, 12),
        st.binary(max_size=60),
        st.integers(0, 255),
        st.sampled_from([0, 1, 2, 3, 2**31 - 1, 2**32 - 1]),
    )
    return (
        fields.map(lambda pair: added(*pair))
        | st.binary(max_size=60).map(posted)
        | st.lists(frames, max_size=6).map(lambda drawn: OPENING + b"".join(drawn))
        | st.binary(max_size=200)
    )
