"""A BuildKit daemon for failures on demand: it builds nothing, but really calls back through the client's session."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, Self, TypeVar

import grpc
from moby.buildkit.v1 import control_pb2, control_pb2_grpc

from service.build.buildkit import Tls
from tests.servers.byte_front import ByteFront
from tests.servers.certificates import Authority
from tests.servers.fake_build import FakeBuild, Refused, Script, succeeds
from tests.servers.fake_session import FakeSession, take_up
from tests.waiting import until

T = TypeVar("T")

Listen = Literal["unix", "tcp", "mtls", "docker"]
SERVER_NAME = "builder.test"
_SESSION_WITHIN_S = 5  # what a build waits for its session, and then goes on without
_JOB_WITHIN_S = 6  # what Status waits for the build


class FakeBuildKit(control_pb2_grpc.ControlServicer):
    """Listens as `listen` says: on a unix socket, TCP, TCP with mutual TLS, or a socket as a dockerd does.

    `address` and `tls` are what a client takes. `builds` are the builds so far. What befalls the next ones is told by
    `script`; the others do as `default`. Faults of the daemon itself are attributes: `not_ready` fails that many
    questions for readiness (`probes` counts all), `slow` delays their answers, `takes_sessions` and `tells_progress`
    can be turned off, `platforms` are those it builds for, and `front` can drop or freeze all connections. `offers`
    counts the sessions that came.
    """

    def __init__(self, listen: Listen = "unix", default: Script | None = None, port: int = 0) -> None:
        self.builds: list[FakeBuild] = []
        self.offers = 0
        self.default = default or succeeds()
        self.probes = 0
        self.not_ready = 0
        self.platforms = [("linux", "amd64")]
        self.slow = timedelta(0)
        self.takes_sessions = True
        self.tells_progress = True
        self.front: ByteFront
        self.tls: Tls | None = None
        self._listen = listen
        self._port = port
        self._folder = Path()
        self._scripts: deque[Script | Refused] = deque()
        self._sessions: dict[str, FakeSession] = {}
        self._jobs: dict[str, FakeBuild] = {}
        self._calls: set[asyncio.Task[Any]] = set()
        self._stack = AsyncExitStack()

    @property
    def address(self) -> str:
        match self._listen:
            case "unix":
                return f"unix://{self._folder}/front"
            case "docker":
                return f"docker://{self._folder}/front"
            case _:
                return f"tcp://127.0.0.1:{self.front.port}"

    def script(self, *scripts: Script | Refused) -> None:
        """Say what becomes of the next builds, one after the other; a Refused ends one before it is a job."""
        self._scripts.extend(scripts)

    async def __aenter__(self) -> Self:
        self._folder = Path(self._stack.enter_context(TemporaryDirectory()))
        server = grpc.aio.server()
        control_pb2_grpc.add_ControlServicer_to_server(self, server)
        behind = self._folder / "grpc"
        if self._listen == "mtls":
            server.add_secure_port(f"unix:{behind}", self._server_credentials())
        else:
            server.add_insecure_port(f"unix:{behind}")
        await server.start()
        self._stack.push_async_callback(server.stop, None)
        at = self._folder / "front" if self._listen in ("unix", "docker") else None
        front = ByteFront(behind, at, port=self._port, upgrade=self._listen == "docker")
        self.front = await self._stack.enter_async_context(front)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
        await asyncio.gather(*self._calls, return_exceptions=True)

    def _server_credentials(self) -> grpc.ServerCredentials:
        authority = Authority()
        client, server = authority.client(), authority.server(SERVER_NAME)
        self.tls = Tls(authority.cert, client.cert, client.key, SERVER_NAME)
        return grpc.ssl_server_credentials([(server.key, server.cert)], authority.cert, require_client_auth=True)

    async def ListWorkers(  # noqa: N802 - the proto's name
        self, _: control_pb2.ListWorkersRequest, context: Any
    ) -> control_pb2.ListWorkersResponse:
        self.probes += 1
        probe = self.probes
        await asyncio.sleep(self.slow.total_seconds())
        if probe <= self.not_ready:
            await context.abort(grpc.StatusCode.UNAVAILABLE, f"not ready at probe {probe}")
        platforms = [control_pb2.Platform(OS=os, Architecture=arch) for os, arch in self.platforms]
        return control_pb2.ListWorkersResponse(record=[control_pb2.WorkerRecord(ID="w1", platforms=platforms)])

    async def Session(  # noqa: N802 - the proto's name
        self, requests: AsyncIterator[control_pb2.BytesMessage], context: Any
    ) -> None:
        async with self._counted():
            self.offers += 1
            if not self.takes_sessions:
                await asyncio.Event().wait()
            session_id = dict(context.invocation_metadata())["x-docker-expose-session-uuid"]
            async with take_up(requests, context) as session:
                self._sessions[session_id] = session
                await session.cut.wait()

    async def Solve(  # noqa: N802 - the proto's name
        self, request: control_pb2.SolveRequest, context: Any
    ) -> control_pb2.SolveResponse:
        async with self._counted():
            script = self._scripts.popleft() if self._scripts else self.default
            build = FakeBuild(request, await self._session(request.Session))
            self.builds.append(build)
            try:
                if isinstance(script, Refused):
                    raise script
                self._jobs[request.Ref] = build
                return _solved(build, await script(build))
            except Refused as refused:
                trailers = (("grpc-status-details-bin", refused.details),) if refused.details else ()
                await context.abort(grpc.StatusCode[refused.code], refused.text, trailers)
                raise
            except asyncio.CancelledError:
                build.cancelled = True
                raise
            finally:
                build.updates.put_nowait(None)
                build.ended.set()

    async def Status(  # noqa: N802 - the proto's name
        self, request: control_pb2.StatusRequest, context: Any
    ) -> AsyncIterator[control_pb2.StatusResponse]:
        async with self._counted():
            build = await self._job(request.Ref) if self.tells_progress else None
            if build is None:
                await context.abort(grpc.StatusCode.NOT_FOUND, f"no such job {request.Ref}")
                return
            while (update := await build.updates.get()) is not None:
                yield update

    async def _session(self, session_id: str) -> FakeSession | None:
        return await _found(self._sessions, session_id, _SESSION_WITHIN_S)

    async def _job(self, ref: str) -> FakeBuild | None:
        return await _found(self._jobs, ref, _JOB_WITHIN_S)

    @asynccontextmanager
    async def _counted(self) -> AsyncIterator[None]:
        """Have the call's end awaited when the daemon stops, which grpc does not."""
        task = asyncio.current_task()
        assert task is not None
        self._calls.add(task)
        try:
            yield
        finally:
            self._calls.discard(task)


async def _found(things: dict[str, T], name: str, within_s: float) -> T | None:
    """Wait for what will be known by this name; None if it never is."""

    async def known() -> bool:
        return name in things

    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            await until(known)
    return things.get(name)


def _solved(build: FakeBuild, digest: str) -> control_pb2.SolveResponse:
    response = {"containerimage.digest": digest, "image.name": build.image}
    return control_pb2.SolveResponse(ExporterResponse=response)
