"""Carries a build's session: bytes between the daemon and the server that answers it (04 · 2.1, 2.2).

On this stream the daemon is the gRPC client, inside a call on which it is the server.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
from moby.buildkit.v1.control_pb2 import BytesMessage

from service.build.buildkit.errors import SessionLost
from service.build.buildkit.session import METHODS

_CHUNK_BYTES = 32 * 1024
_OWN_END = "the server that answers the session has ended it"


@asynccontextmanager
async def open_tunnel(stub: Any, session_id: str, server: Path, silence: timedelta) -> AsyncIterator["Tunnel"]:
    """Connect the daemon with the session's server. A daemon that is silent for `silence` counts as gone."""
    reader, writer = await asyncio.open_unix_connection(server)
    metadata = [("x-docker-expose-session-uuid", session_id), ("x-docker-expose-session-sharedkey", "")]
    metadata += [("x-docker-expose-session-grpc-method", method) for method in METHODS]
    tunnel = Tunnel(stub.Session(metadata=metadata), reader, writer, silence)
    try:
        yield tunnel
    finally:
        await tunnel.close()


class Tunnel:
    """An open session. `end` completes with the reason once the session is lost, and not before."""

    def __init__(
        self, call: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, silence: timedelta
    ) -> None:
        self._call = call
        self._messages = aiter(call)
        self._reader = reader
        self._writer = writer
        self._silence_s = silence.total_seconds()
        self._heard = asyncio.Event()
        self.end = asyncio.create_task(self._carry())

    async def opened(self, within: timedelta) -> None:
        """Wait for the daemon's first byte, which proves that it has the session. Raises SessionLost.

        A build whose session is not there yet goes on without secrets, and fails as if the user were at fault.
        """
        heard = asyncio.create_task(self._heard.wait())
        try:
            await asyncio.wait((heard, self.end), timeout=within.total_seconds(), return_when=asyncio.FIRST_COMPLETED)
        finally:
            heard.cancel()
        if self.end.done():
            raise SessionLost(self.end.result())
        if not self._heard.is_set():
            raise SessionLost(f"the daemon did not take up the session within {within.total_seconds():g} s")

    async def close(self) -> None:
        self._call.cancel()
        self.end.cancel()
        await asyncio.gather(self.end, return_exceptions=True)
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()
        # A cancelled task knows its frames, and they this tunnel: such a cycle would hold the connection open.
        del self.end

    async def _carry(self) -> str:
        """Pump both ways until either ends, and return why."""
        pumps = (asyncio.create_task(self._from_daemon()), asyncio.create_task(self._to_daemon()))
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            return next(pump.result() for pump in pumps if pump.done())
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _from_daemon(self) -> str:
        try:
            while (message := await self._read()) is not None:
                self._heard.set()
                self._writer.write(message.data)
                await self._writer.drain()
        except TimeoutError:
            return f"nothing came from the daemon for {self._silence_s:g} s"
        except grpc.aio.AioRpcError as error:
            return f"{error.code().name}: {error.details()}"
        except OSError:
            return _OWN_END
        return "the daemon ended the session"

    async def _read(self) -> Any:
        async with asyncio.timeout(self._silence_s):
            return await anext(self._messages, None)

    async def _to_daemon(self) -> str:
        with suppress(OSError):
            while data := await self._reader.read(_CHUNK_BYTES):
                try:
                    await self._call.write(BytesMessage(data=data))
                except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                    return "the call that carries the session has ended"
        return _OWN_END
