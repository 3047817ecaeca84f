"""The client of a BuildKit daemon: waits until it is there, and has it build."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import grpc
import structlog
from moby.buildkit.v1.control_pb2 import ListWorkersRequest, Platform, StatusRequest
from moby.buildkit.v1.control_pb2_grpc import ControlStub

from service.build.buildkit.address import Address, Tls
from service.build.buildkit.channel import open_channel
from service.build.buildkit.details import TRAILER, read_details
from service.build.buildkit.errors import SessionLost, SolveFailed, Unreachable
from service.build.buildkit.feed import deliver
from service.build.buildkit.progress import Observer
from service.build.buildkit.redaction import Redaction
from service.build.buildkit.request import Build, Solved, solve_request
from service.build.buildkit.session import serve_session
from service.build.buildkit.tunnel import Tunnel, open_tunnel

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Timeouts:
    """How long a daemon may take (04 · 1.2, 2.2, 2.5, 4).

    `answer` and `pause` are of each question whether it is ready. `session` is until the first byte of a session,
    `silence` between two of them: a daemon asks for the session's health every few seconds. `progress` is for
    what is still to come of it after a build has ended.
    """

    answer: timedelta = timedelta(seconds=5)
    pause: timedelta = timedelta(seconds=1)
    session: timedelta = timedelta(seconds=5)
    silence: timedelta = timedelta(seconds=60)
    progress: timedelta = timedelta(seconds=3)


@asynccontextmanager
async def connect(
    address: Address, tls: Tls | None = None, timeouts: Timeouts = Timeouts()
) -> AsyncIterator["BuildKit"]:
    """Open a client, which dials when it is first used. Raises ValueError for TLS on other than tcp."""
    async with open_channel(address, tls) as channel:
        yield BuildKit(channel, timeouts)


class BuildKit:
    """A daemon. Many builds may run on it at once."""

    def __init__(self, channel: grpc.aio.Channel, timeouts: Timeouts) -> None:
        self._stub: Any = ControlStub(channel)
        self._timeouts = timeouts

    async def wait_ready(self, within: timedelta) -> None:
        """Ask until the daemon answers. Raises Unreachable with what was last heard of it."""
        heard = "no answer"
        with suppress(TimeoutError):
            async with asyncio.timeout(within.total_seconds()):
                while True:
                    try:
                        await self._stub.ListWorkers(
                            ListWorkersRequest(), timeout=self._timeouts.answer.total_seconds()
                        )
                    except grpc.aio.AioRpcError as error:
                        heard = f"{error.code().name}: {error.details()}"
                    else:
                        return
                    await asyncio.sleep(self._timeouts.pause.total_seconds())
        raise Unreachable(heard)

    async def platforms(self) -> list[str]:
        """List what its workers build for, such as `linux/amd64`. Raises Unreachable with what was heard of it."""
        try:
            answer = await self._stub.ListWorkers(
                ListWorkersRequest(), timeout=self._timeouts.answer.total_seconds(), wait_for_ready=False
            )
        except grpc.aio.AioRpcError as error:
            heard = f"{error.code().name}: {error.details()}"
        else:
            return sorted({_written(platform) for worker in answer.record for platform in worker.platforms})
        raise Unreachable(heard)

    async def build(self, build: Build, observer: Observer) -> Solved:
        """Build, for as long as it takes: the deadline is the caller's, and cancelling stops the remote build.

        Raises SessionLost, SolveFailed, and what the observer raises.
        """
        session_id = uuid.uuid4().hex
        async with (
            serve_session(build.secrets, build.credentials) as server,
            open_tunnel(self._stub, session_id, server, self._timeouts.silence) as tunnel,
        ):
            await tunnel.opened(self._timeouts.session)
            redact = build.redaction()
            solve = asyncio.create_task(self._solve(build, session_id, redact))
            follow = asyncio.create_task(self._follow(build.ref, observer, redact))
            try:
                await _end_of(solve, follow, tunnel)
                # The last of the progress comes with the answer; where no build had begun it never comes.
                await asyncio.wait((follow,), timeout=self._timeouts.progress.total_seconds())
                if follow.done():
                    follow.result()
                return solve.result()
            finally:
                solve.cancel()
                follow.cancel()
                await asyncio.gather(solve, follow, return_exceptions=True)
                # An error knows this frame: together with the task it came from it would be a cycle, and a
                # connection stays open for as long as there is any trace of its calls.
                del solve, follow

    async def _solve(self, build: Build, session_id: str, redact: Redaction) -> Solved:
        try:
            answer = await self._stub.Solve(solve_request(build, session_id))
        except grpc.aio.AioRpcError as error:
            trailers: Any = error.trailing_metadata()
            details = read_details(dict(trailers).get(TRAILER, b""))
            failure = error.code().name, redact(error.details() or ""), details
        else:
            response = dict(answer.ExporterResponse)
            return Solved(response.get("containerimage.digest", ""), response)
        raise SolveFailed(*failure)  # out here, as it would otherwise carry the daemon's unredacted text

    async def _follow(self, ref: str, observer: Observer, redact: Redaction) -> None:
        """Pass the build's progress on until it ends. That it cannot be had does not fail a build."""
        try:
            # Closed in any case: a stream that is not read to its end would hold the connection open.
            async with aclosing(aiter(self._stub.Status(StatusRequest(Ref=ref)))) as updates:
                async for update in updates:
                    deliver(update, observer, redact)
        except grpc.aio.AioRpcError as error:
            log.warning("lost sight of a build's progress", ref=ref, code=error.code().name)


def _written(platform: Platform) -> str:
    """Write a platform as settings do; a variant is written where it is needed to tell two apart."""
    return "/".join(part for part in (platform.OS, platform.Architecture, platform.Variant) if part)


async def _end_of(solve: asyncio.Task[Solved], follow: asyncio.Task[None], tunnel: Tunnel) -> None:
    """Wait until the build has ended, or its observer has failed. Raises SessionLost when the session ends first."""
    waiting: set[asyncio.Task[Any]] = {solve, follow, tunnel.end}
    while solve in waiting:
        ended, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if follow in ended and follow.exception() is not None:
            return
        if tunnel.end in ended and solve in waiting:
            raise SessionLost(tunnel.end.result())
