"""What comes to the worker's own HTTP port from anybody but Restate and the probes of a cluster."""

import json
from http import HTTPStatus

import hypothesis.strategies as st
import pytest

from tests.fuzz import http2, wire
from tests.fuzz.bounds import LIMIT_S
from tests.fuzz.connection import say
from tests.fuzz.fuzzer import Fuzzer, leak
from tests.fuzz.http1 import Headers, Request, ask
from tests.installation import Installation

pytestmark = [
    pytest.mark.parametrize("server", ["mariadb"], indirect=True, scope="session"),
    pytest.mark.timeout(LIMIT_S),
]

_ERRORS = range(HTTPStatus.BAD_REQUEST, HTTPStatus.INTERNAL_SERVER_ERROR)
_A_MOMENT_S = 0.3  # of silence: what is not whole gets no answer
INVOCATION = b"application/vnd.restate.invocation.v"
HANDLER = b"invoke/hydra.v1.DeployService/Deploy"
PATHS = (
    b"/",
    b"//",
    b"*",
    b"/health",
    b"/health/",
    b"/health/nope",
    b"/health/../health/live",
    b"//health/live",
    b"/%00",
    b"/%FF",
    b"/" + b"a" * 5000,
)
BELOW = (
    b"",
    b"/",
    b"x",
    b"discover/",
    b"invoke",
    b"invoke/",
    b"invoke/x/y",
    b"invoke/hydra.v1.DeployService",
    b"invoke/hydra.v1.DeployService/Nope",
    b"invoke/hydra.v1.DeployService/Deploy/x",
    b"invoke/%00/%FF",
    b"invoke/a%2Fb/c",
)
TYPES = (
    *(INVOCATION + version for version in (b"", b"0", b"1", b"4", b"5", b"6", b"7", b"8", b"99", b"-1", b"x", b"5x")),
    b"",
    b"application/json",
    b"\xff",
    b"x" * 9000,
)
ACCEPTED = (
    b"",
    b"x",
    b"*/*",
    b"\xff",
    *(b"application/vnd.restate.endpointmanifest.v%d+json" % version for version in (1, 2, 3, 99)),
)


def message(kind: int, content: bytes) -> bytes:
    """Write a message of a journal: type, flags, length, content (Restate's service protocol)."""
    return kind.to_bytes(2, "big") + b"\0\0" + len(content).to_bytes(4, "big") + content


START, INPUT = 0x0000, 0x0400
STARTED = message(START, wire.text(1, b"\0" * 24) + wire.text(2, b"inv_x") + wire.tag(3, wire.VARINT) + b"\x01")
JOURNALS = (
    b"",
    b"garbage" * 10,
    b"\0" * 8,
    b"\0" * 100,
    b"\xff" * 100,
    b"\0\0\0\0\xff\xff\xff\xff",
    message(START, b"\x0a\x03abc"),
    message(START, b"\xff"),
    STARTED,
    STARTED + message(INPUT, b"\xff"),
    STARTED + message(0x0401, b""),
    STARTED * 2,
    STARTED + message(INPUT, b"") * 2,
    STARTED + message(0xFFFF, b"x"),
    STARTED[:-1],
    b"x" * 1_000_000,
)


@pytest.fixture
async def mount(installation: Installation) -> bytes:
    """Find the path that this release is registered under."""
    async with installation.http.get(f"{installation.stack.restate.admin_url}/deployments") as answer:
        known = (await answer.json())["deployments"]
    here = f"http://127.0.0.1:{installation.stack.ports.http}"
    (uri,) = [one["uri"] for one in known if one["uri"].startswith(here)]
    return f"{uri.removeprefix(here)}/".encode()


class Port:
    """The worker's HTTP port."""

    def __init__(self, installation: Installation) -> None:
        self.address = f"127.0.0.1:{installation.stack.ports.http}"

    async def ask(self, request: Request) -> str:
        """Tell what is wrong with the answer to a request."""
        answer = await ask(self.address, request)
        fine = answer.status in _ERRORS or (request.may_succeed and answer.status == HTTPStatus.OK)
        # Restate asks again for a release that is not this one's, and finds a worker that still drains.
        elsewhere = request.target.startswith(b"/r/") and answer.status == HTTPStatus.SERVICE_UNAVAILABLE
        if not fine and not elsewhere:
            return f"answered {answer.status}: {answer.body[:300]!r}"
        return leak(answer.body.decode(errors="replace"))

    async def outlives(self, data: bytes) -> str:
        """Send anything, and ask whether the worker still lives."""
        await say(self.address, data, patience_s=_A_MOMENT_S, enough=lambda received: b"\r\n" in received)
        live = await ask(self.address, Request(b"/health/live", method=b"GET"))
        return "" if live.status == HTTPStatus.OK else f"/health/live answered {live}"


async def test_paths_that_lead_nowhere_are_not_found(installation: Installation, fuzzer: Fuzzer, mount: bytes) -> None:
    methods = (b"GET", b"POST", b"PUT", b"HEAD", b"X")
    paths = (*PATHS, *(mount + below for below in BELOW), b"/r", b"/r/", b"/r/x/invoke/a/b", b"/r/%1b%5b2J%0aforged")
    known = [Request(path, b"x" if method == b"POST" else b"", method) for path in paths for method in methods]
    drawn = st.builds(
        Request,
        st.binary(max_size=60)
        .filter(lambda path: not set(path) & set(b" \r\n"))
        .flatmap(lambda path: st.sampled_from([b"/" + path, b"/health/" + path, mount + b"invoke/" + path])),
        st.binary(max_size=60),
        st.sampled_from(methods),
    )
    await fuzzer.feed(drawn, Port(installation).ask, known)


async def test_only_restate_invokes(installation: Installation, fuzzer: Fuzzer, mount: bytes) -> None:
    """A journal that is none is refused; what begins well and stops too early is answered by the protocol itself."""

    def invoke(kind: bytes, body: bytes, method: bytes = b"POST") -> Request:
        return Request(mount + HANDLER, body, method, ((b"content-type", kind),), may_succeed=body.startswith(STARTED))

    known = [invoke(kind, body) for kind in TYPES for body in JOURNALS]
    known += [Request(mount + HANDLER, b"x", headers=())]
    known += [invoke(INVOCATION + b"6", b"", method) for method in (b"GET", b"PUT", b"HEAD", b"X")]
    known += [Request(mount + HANDLER, b"x", headers=((b"x-restate-jwt-v1", b"\xff"),))]
    messages = st.builds(message, st.integers(0, 0xFFFF), st.binary(max_size=60))
    bodies = st.lists(messages | st.just(STARTED) | st.binary(max_size=40), max_size=4).map(b"".join)
    kinds = st.sampled_from([INVOCATION + b"5", INVOCATION + b"6", INVOCATION + b"7"]) | st.binary(max_size=60).filter(
        lambda value: not {10, 13} & set(value)
    )
    await fuzzer.feed(st.builds(invoke, kinds, bodies), Port(installation).ask, known)


async def test_only_restate_discovers(installation: Installation, fuzzer: Fuzzer, mount: bytes) -> None:
    def discover(accepted: bytes, method: bytes = b"GET") -> Request:
        return Request(mount + b"discover", b"", method, ((b"accept", accepted),))

    known = [discover(value) for value in ACCEPTED] + [Request(mount + b"discover", method=b"GET", headers=())]
    known += [discover(b"*/*", method) for method in (b"POST", b"PUT", b"HEAD", b"X")]
    drawn = st.binary(max_size=60).filter(lambda value: not {10, 13} & set(value)).map(discover)
    await fuzzer.feed(drawn, Port(installation).ask, known)


async def test_health_is_answered_whatever_comes_with_the_question(installation: Installation, fuzzer: Fuzzer) -> None:
    def probe(headers: Headers, body: bytes = b"", query: bytes = b"") -> Request:
        return Request(b"/health/ready" + query, body, b"GET", headers, may_succeed=True)

    known = [
        probe(()),
        probe(((b"x", b"\xff"),)),
        probe(((b"x", b"a" * 100_000),)),
        probe(tuple((b"h%d" % number, b"v") for number in range(2000))),
        probe(((b"x\0", b"a"),)),
        probe((), b"x" * 60_000),
        probe((), query=b"?%00=%FF&\xff"),
        probe(((b"content-length", b"-5"),)),
        probe(((b"transfer-encoding", b"chunked"),), b"zz\r\n"),
    ]
    pairs = st.tuples(st.binary(min_size=1, max_size=20), st.binary(max_size=60))
    drawn = st.lists(pairs.filter(lambda pair: not set(b"\r\n:") & set(pair[0] + pair[1])), max_size=5).map(tuple)
    await fuzzer.feed(drawn.map(probe), Port(installation).ask, known)


async def test_the_worker_outlives_what_is_no_http(installation: Installation, fuzzer: Fuzzer, mount: bytes) -> None:
    def posted(path: bytes, **fields: bytes) -> bytes:
        given = {b":method": b"POST", b":scheme": b"http", b":path": path, b":authority": b"x"}
        others = {name.replace("_", "-").encode(): value for name, value in fields.items()}
        return http2.OPENING + http2.request({**given, **others}.items(), b"garbage")

    known = [
        b"",
        b"\0" * 1000,
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + b"x" * 300,
        b"GET / HT",
        b"x" * 100_000,
        b"POST /health/live HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nX",
        b"POST %sdiscover HTTP/1.1\r\nhost: x\r\ncontent-length: 500\r\n\r\nabc" % mount,
        b"POST %s HTTP/1.1\r\ncontent-type: %s6\r\ncontent-length: 500\r\n\r\nabc" % (mount + HANDLER, INVOCATION),
        http2.PREFACE,
        http2.PREFACE + b"\xff" * 500,
        http2.OPENING + http2.frame(http2.PING, b"x" * 8) * 500,
        http2.OPENING + http2.frame(http2.HEADERS, b"\xbe" * 10_000, flags=5, stream=1),
        posted(mount + HANDLER),
        posted(mount + HANDLER, content_type=INVOCATION + b"6"),
        posted(mount + HANDLER, content_type=b"\xff"),
        posted(b"/\xff"),
        posted(b"/health/live", x=b"\xff"),
        json.dumps({"uri": "x"}).encode(),
    ]
    fields = st.dictionaries(st.sampled_from(["content_type", "accept", "te", "x"]), st.binary(max_size=60))
    paths = st.sampled_from([mount + HANDLER, mount + b"discover", b"/health/live"])
    drawn = st.builds(lambda path, given: posted(path, **given), paths, fields) | st.binary(max_size=200)
    await fuzzer.feed(drawn, Port(installation).outlives, known)
