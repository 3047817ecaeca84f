"""Bodies that are no protojson, through Restate's ingress."""

import hypothesis.strategies as st
import pytest

from tests.fuzz import wire
from tests.fuzz.bounds import LIMIT_S
from tests.fuzz.documents import MISTAKES, almost_documents
from tests.fuzz.fuzzer import Fuzzer
from tests.fuzz.http1 import JSON, Headers, Request
from tests.fuzz.ingress_calls import DEPLOY, SERVICE, asker
from tests.installation import Installation

pytestmark = [
    pytest.mark.parametrize("server", ["mariadb"], indirect=True, scope="session"),
    pytest.mark.timeout(LIMIT_S),
]

RPCS = (b"Deploy", b"Rollback", b"Promote")
TYPES: tuple[Headers, ...] = tuple(
    ((b"content-type", value),)
    for value in (
        b"",
        b"*/*",
        b"text/plain",
        b"application/json; charset=utf-16",
        b"application/proto",
        b"APPLICATION/PROTOBUF",
        b"application/x-protobuf",
        b"application/json+proto",
        b"application/grpc",
        b"application/x-www-form-urlencoded",
        b";;;",
        b"x" * 5000,
    )
)
BINARY: Headers = ((b"content-type", b"application/proto"),)


async def test_what_is_no_json_is_refused(installation: Installation, fuzzer: Fuzzer) -> None:
    known = [Request(DEPLOY, body) for body in MISTAKES]
    targets = st.sampled_from([SERVICE + b"k/" + rpc for rpc in RPCS])
    await fuzzer.feed(st.builds(Request, targets, almost_documents()), asker(installation), known)


async def test_what_is_no_message_is_refused(installation: Installation, fuzzer: Fuzzer) -> None:
    def request(body: bytes) -> Request:
        return Request(DEPLOY, body, headers=BINARY)

    known = [request(body) for body in wire.MISTAKES.values()]
    await fuzzer.feed(wire.almost_messages().map(request), asker(installation), known)


async def test_a_body_of_any_type_is_read_or_refused(installation: Installation, fuzzer: Fuzzer) -> None:
    bodies = (b"", b"{}", b'{"deploymentId":"d_none","dockerImage":{"image":"a"}}', wire.REQUEST, b"\xff")
    headers: tuple[Headers, ...] = ((), *TYPES)
    known = [Request(DEPLOY, body, headers=given) for body in bodies for given in headers]
    known += [
        Request(DEPLOY, body, method) for body in bodies for method in (b"GET", b"PUT", b"DELETE", b"TRACE", b"X")
    ]
    drawn = st.builds(
        Request,
        st.just(DEPLOY),
        almost_documents() | wire.almost_messages(),
        st.sampled_from([b"POST", b"GET", b"PUT"]),
        st.sampled_from([*headers, JSON]),
    )
    await fuzzer.feed(drawn, asker(installation), known)
