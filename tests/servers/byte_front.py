"""A front before a server: passes bytes on, and can drop its connections, or keep them open and silent."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Self

_CHUNK_BYTES = 64 * 1024
_UPGRADED = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
_REFUSED = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


class ByteFront:
    """Listens on a socket (`at` is a path) or on the loopback interface (`at` is None; port 0 takes a free one).

    `upgrade` makes it talk as a dockerd does: HTTP/1.1 first, and bytes once `POST /grpc` was upgraded. `upgrades`
    counts those. `refuse_upgrades` answers as a dockerd without BuildKit.
    """

    def __init__(self, behind: Path, at: Path | None = None, *, port: int = 0, upgrade: bool = False) -> None:
        self.upgrades = 0
        self.refuse_upgrades = False
        self.port = port
        self._behind = behind
        self._at = at
        self._upgrade = upgrade
        self._flows = asyncio.Event()
        self._flows.set()
        self._live: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server

    def drop(self) -> None:
        """End every connection, as if the machine had died."""
        for task in self._live:
            task.cancel()

    def freeze(self) -> None:
        """Pass nothing on from now on, as if the network had died."""
        self._flows.clear()

    async def __aenter__(self) -> Self:
        if self._at is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]
        else:
            self._server = await asyncio.start_unix_server(self._accept, self._at)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.drop()
        await asyncio.gather(*self._live)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._live.add(task)
        with suppress(OSError, EOFError, asyncio.CancelledError):
            if not self._upgrade or await self._is_upgraded(reader, writer):
                await self._carry(reader, writer)
        self._live.discard(task)
        writer.transport.abort()

    async def _is_upgraded(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        request, _, rest = (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")
        headers = {line.lower() for line in rest.split(b"\r\n")}
        wanted = request == b"POST /grpc HTTP/1.1" and {b"connection: upgrade", b"upgrade: h2c"} <= headers
        if not wanted or self.refuse_upgrades:
            writer.write(_REFUSED)
            await writer.drain()
            return False
        self.upgrades += 1
        writer.write(_UPGRADED)
        return True

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(self._behind)
        pumps = [
            asyncio.create_task(self._pump(reader, inner_writer)),
            asyncio.create_task(self._pump(inner_reader, writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            inner_writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK_BYTES):
            await self._flows.wait()
            writer.write(data)
            await writer.drain()
