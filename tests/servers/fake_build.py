"""A build as the fake BuildKit daemon goes through it, and scripts of builds that go this way or that."""

import asyncio
import hashlib
import json
import re
import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.status_pb2 import Status
from moby.buildkit.v1.control_pb2 import SolveRequest, StatusResponse, Vertex, VertexLog

from tests.servers.fake_session import FakeSession


class Refused(Exception):
    """Ends a build with an error: a gRPC code by name, the daemon's text, and the trailer made by `error_details`."""

    def __init__(self, text: str, code: str = "UNKNOWN", details: bytes = b"") -> None:
        super().__init__(text)
        self.text = text
        self.code = code
        self.details = details


class FakeBuild:
    """One Solve: what was asked of the daemon, and what the daemon got from the client's session.

    `asked` lists secret ids and hosts in the order in which they were asked for; those that were had are in `secrets`
    and `credentials`. `ended` is set at the end, however it came; `cancelled` tells whether the client wanted it.
    """

    def __init__(self, request: SolveRequest, session: FakeSession | None) -> None:
        self.request = request
        self.session = session
        self.asked: list[str] = []
        self.secrets: dict[str, bytes] = {}
        self.credentials: dict[str, tuple[str, str]] = {}
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()
        self.cancelled = False
        self.updates: asyncio.Queue[StatusResponse | None] = asyncio.Queue()

    @property
    def context(self) -> str:
        return self.request.FrontendAttrs["context"]

    @property
    def image(self) -> str:
        return self.request.Exporters[0].Attrs["name"]

    async def secret(self, name: str) -> bytes | None:
        self.asked.append(name)
        value = None if self.session is None else await self.session.secret(name)
        if value is not None:
            self.secrets[name] = value
        return value

    async def log_in(self, host: str) -> None:
        self.asked.append(host)
        if self.session is None:
            raise Refused(f"failed to push {self.image}: no active session", "DEADLINE_EXCEEDED")
        self.credentials[host] = await self.session.log_in(host)

    def step(self, name: str) -> "FakeStep":
        """Announce a step."""
        step = FakeStep(self, name)
        step.tell()
        return step

    def tell(self, *vertexes: Vertex, logs: tuple[VertexLog, ...] = ()) -> None:
        """Send one update of the progress."""
        self.updates.put_nowait(StatusResponse(vertexes=vertexes, logs=logs))

    async def hang(self) -> None:
        """Do nothing more until the client cancels."""
        self.begun.set()
        await asyncio.Event().wait()

    def cut_session(self) -> None:
        assert self.session is not None
        self.session.cut.set()


class FakeStep:
    """A step whose news go to the client as they happen; its digest follows from its name."""

    def __init__(self, build: FakeBuild, name: str) -> None:
        self._build = build
        self._vertex = Vertex(digest=digest_of(name), name=name)

    @property
    def digest(self) -> str:
        return self._vertex.digest

    def tell(self) -> None:
        news = Vertex()
        news.CopyFrom(self._vertex)
        self._build.tell(news)

    def start(self) -> None:
        self._vertex.started.CopyFrom(now())
        self.tell()

    def log(self, text: str | bytes) -> None:
        written = text.encode() if isinstance(text, str) else text
        self._build.tell(logs=(VertexLog(vertex=self.digest, timestamp=now(), stream=1, msg=written),))

    def complete(self, error: str = "", *, cached: bool = False) -> None:
        self._vertex.completed.CopyFrom(now())
        self._vertex.error = error
        self._vertex.cached = cached
        self.tell()


# Plays a build and returns the digest of its image, or raises Refused.
Script = Callable[[FakeBuild], Awaitable[str]]


def succeeds(commit: str = "") -> Script:
    """Play a build that fetches, runs and pushes; `commit` is what the fetched branch or pull request stands at."""

    async def script(build: FakeBuild) -> str:
        await fetch(build, commit)
        step = build.step("[2/2] RUN make")
        step.start()
        step.log("made\n")
        step.complete()
        await push(build)
        return digest_of(build.request.Ref)

    return script


def fails(exit_code: int = 1, commit: str = "") -> Script:
    """Play a build whose RUN ends with `exit_code`."""

    async def script(build: FakeBuild) -> str:
        await fetch(build, commit)
        step = build.step("[2/2] RUN make")
        step.start()
        step.log("no rule to make it\n")
        text = f'process "/bin/sh -c make" did not complete successfully: exit code: {exit_code}'
        step.complete(text)
        raise Refused(text, details=error_details(step.digest, exit_code, ("Dockerfile", 2)))

    return script


def refuses(text: str, code: str = "UNKNOWN") -> Script:
    """Play a build that fetches its source, and ends with this error."""

    async def script(build: FakeBuild) -> str:
        await fetch(build)
        raise Refused(text, code)

    return script


def hangs(commit: str = "") -> Script:
    """Play a build whose RUN goes on until the client cancels; `FakeBuild.begun` is set once it runs."""

    async def script(build: FakeBuild) -> str:
        await fetch(build, commit)
        build.step("[2/2] RUN sleep infinity").start()
        await build.hang()
        raise AssertionError

    return script


def loses_session() -> Script:
    """Play a build during which the daemon gives the session up, and goes on building."""

    async def script(build: FakeBuild) -> str:
        await fetch(build)
        build.cut_session()
        await build.hang()
        raise AssertionError

    return script


async def fetch(build: FakeBuild, commit: str = "") -> None:
    """Fetch the source: asks for the secrets that BuildKit asks for, and logs what it logs of a branch."""
    step = build.step(f"[internal] load git source {build.context}")
    step.start()
    host = urlsplit(build.context).netloc
    for name in (f"GIT_AUTH_HEADER.{host}", f"GIT_AUTH_TOKEN.{host}", "GIT_AUTH_HEADER", "GIT_AUTH_TOKEN"):
        if await build.secret(name) is not None:
            break
    ref = urlsplit(build.context).fragment.partition(":")[0]
    if not re.fullmatch(r"[0-9a-f]{40}", ref):
        named = ref if ref.startswith("refs/") else f"refs/heads/{ref or 'HEAD'}"
        step.log(f"{commit or hashlib.sha1(ref.encode(), usedforsecurity=False).hexdigest()}\t{named}\n")
    # It completes when the commit is known, and begins again to fetch it.
    step.complete()
    step.start()
    step.complete()


async def push(build: FakeBuild) -> None:
    step = build.step("exporting to image")
    step.start()
    if build.request.Exporters[0].Attrs["push"] == "true":
        await build.log_in(build.image.partition("/")[0])
    step.complete()


def digest_of(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def now() -> Timestamp:
    return at_ms(time.time_ns() // 1_000_000)


def at_ms(time_ms: int) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromMilliseconds(time_ms)
    return timestamp


def error_details(vertex: str = "", exit_code: int | None = None, source: tuple[str, int] | None = None) -> bytes:
    """Make the trailer of a failed build: the failed step, its command's exit code, and file and line of it."""
    prefix = "github.com/moby/buildkit/"
    found: dict[str, object] = {"stack.Stack": {"frames": [{"Name": "main.main"}]}}
    if source is not None:
        line = {"line": source[1]}
        found["errdefs.Source"] = {"info": {"filename": source[0]}, "ranges": [{"start": line, "end": line}]}
    if vertex:
        found["errdefs.Vertex"] = {"digest": vertex}
    if exit_code is not None:
        found["gatewayapi.ExitMessage"] = {"Code": exit_code}
    status = Status(code=2)
    for name, content in found.items():
        status.details.add(type_url=f"{prefix}{name}+json", value=json.dumps(content).encode())
    return bytes(status.SerializeToString())
