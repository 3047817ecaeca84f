"""Paths, keys, delays and headers that nobody should send, through Restate's ingress."""

import json
import uuid
from typing import Any
from urllib.parse import quote

import hypothesis.strategies as st
import pytest

from tests.fuzz.bounds import LIMIT_S
from tests.fuzz.documents import GOOD
from tests.fuzz.fuzzer import Fuzzer
from tests.fuzz.hostile import TEXTS, texts
from tests.fuzz.http1 import JSON, Request
from tests.fuzz.ingress_calls import DEPLOY, SERVICE, asker
from tests.installation import IMAGE, Installation

pytestmark = [
    pytest.mark.parametrize("server", ["mariadb"], indirect=True, scope="session"),
    pytest.mark.timeout(LIMIT_S),
]

BODY = json.dumps(GOOD).encode()
KEYS = (b"", b".", b"..", b"%2F", b"%2e%2E", b"%00", b"%0a", b"%FF", b"%ED%A0%80", b"%", b"%zz", b"+", b";", b"*", b"@")
PATHS = (
    b"/",
    b"//",
    b"*",
    b"http://example.com/x",
    b"/\xff",
    SERVICE,
    SERVICE + b"k",
    SERVICE + b"k/Nope",
    SERVICE + b"k/deploy",
    SERVICE + b"k/Deploy/x",
    SERVICE + b"k/Deploy/attach",
    SERVICE + b"k/Deploy/send/x",
    b"/hydra.v1.Nope/k/Deploy",
    b"/hydra.v1.DeploymentService/k/ChangeDesiredState",
    b"/hydra.v1.RoutingService/k/SwitchTraffic",
    b"/hydra.v1.VersioningService/k/NextVersion",
    b"/hydra.v1.GitHubStatusService/k/Init",
    b"/hydra.v1.PullRequestCommentService/k/PutRow",
    b"/hydra.v1.OpenapiService/ScrapeSpec",
    b"/restate",
    b"/restate/invocation/x/attach",
    b"/restate/invocation/inv_1/output",
    b"/restate/invocation/hydra.v1.DeployService/k/Deploy/none/attach",
    b"/restate/awakeables/x/resolve",
    b"/restate/workflow/x/y/attach",
)
DELAYS = (b"", b"x", b"-1s", b"1", b"1e9", b"NaN", b"1ms", b"1%00", b"P1D", b"1s&delay=x", b"9" * 30 + b"s", b"1%2B")
NAMES = (b"idempotency-key", b"x-hydra-caller", b"traceparent", b"tracestate", b"x-restate-limit-key", b"x-restate-id")
VALUES = (
    b"",
    b" ",
    b"\t",
    b"a\tb",
    b"\x01",
    b"\x7f",
    b"\xff",
    "é😀".encode(),
    b"a/b",
    b"..",
    b"%00",
    b"'; DROP TABLE x; --",
    b'"',
    b"a,b",
    b"x" * 256,
    b"x" * 257,
    b"x" * 512,
    b"x" * 5000,
    b"x" * 60_000,
)


async def test_an_object_key_may_be_anything(installation: Installation, fuzzer: Fuzzer) -> None:
    def request(key: bytes) -> Request:
        return Request(SERVICE + key + b"/Deploy", BODY)

    known = [*KEYS, *(quote(text, safe="").encode() for text in TEXTS), b"k" * 4096, b"k" * 70_000]
    quoted = texts().map(lambda text: quote(text, safe="").encode())
    drawn = (quoted | st.binary(max_size=60).map(lambda key: quote(key, safe="").encode())).map(request)
    await fuzzer.feed(drawn, asker(installation), [request(key) for key in known])


async def test_paths_that_lead_nowhere_are_not_found(installation: Installation, fuzzer: Fuzzer) -> None:
    known = [Request(path, body, method) for path in PATHS for method, body in ((b"POST", BODY), (b"GET", b""))]
    quoted = st.text(max_size=60).map(lambda text: quote(text).encode())
    drawn = st.builds(Request, quoted.map(b"/".__add__) | quoted.map((DEPLOY + b"/x").__add__), st.just(BODY))
    await fuzzer.feed(drawn, asker(installation), known)


async def test_a_delay_may_be_anything(installation: Installation, fuzzer: Fuzzer) -> None:
    def sent(delay: bytes) -> Request:
        return Request(DEPLOY + b"/send?delay=" + delay, BODY, may_succeed=True)

    known = [sent(delay) for delay in DELAYS] + [Request(DEPLOY + b"?delay=" + delay, BODY) for delay in DELAYS]
    drawn = st.text("0123456789.-+eE PYWDwdy", max_size=12)  # now, in days, or never: nothing that ends in the test
    await fuzzer.feed(drawn.map(lambda text: sent(quote(text).encode())), asker(installation), known)


async def test_headers_of_any_value_are_taken_or_refused(installation: Installation, fuzzer: Fuzzer, live: str) -> None:
    """About a deployment that is live: that much is recorded."""
    promote = SERVICE + b"k/Promote", json.dumps({"targetDeploymentId": live}).encode()
    deploy = DEPLOY, json.dumps({"deploymentId": live, "dockerImage": {"image": IMAGE}}).encode()

    def request(name: bytes, value: bytes, about: tuple[bytes, bytes] = promote) -> Request:
        own = (b"idempotency-key", str(uuid.uuid4()).encode())
        given = (*JSON, (name, value)) if name == own[0] else (*JSON, own, (name, value))
        return Request(*about, headers=given, may_succeed=about is deploy)

    known = [request(name, value, about) for name in NAMES for value in VALUES for about in (promote, deploy)]
    known += [
        Request(*promote, headers=(*JSON, *((b"x-%d" % number, b"v") for number in range(1000)))),
        Request(*promote, headers=(*JSON, (b"x y", b"z"))),
        Request(*promote, headers=(*JSON, (b"content-encoding", b"gzip"))),
        Request(*promote, headers=(*JSON, (b"expect", b"100-continue"))),
    ]
    values: st.SearchStrategy[Any] = st.binary(max_size=400).filter(lambda value: not {10, 13} & set(value))
    await fuzzer.feed(st.builds(request, st.sampled_from(NAMES), values), asker(installation), known)
