"""A front before a server on this machine that can fall silent: it goes on to listen, and says nothing."""

import asyncio
from contextlib import suppress
from typing import Self

_CHUNK_BYTES = 64 * 1024


class Front:
    """Passes bytes on to a port until it is `silent`; `heard` is all that callers said since then."""

    def __init__(self, behind: int) -> None:
        self.silent = False
        self.heard = b""
        self.port = 0
        self._behind = behind
        self._live: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._live:
            task.cancel()
        await asyncio.gather(*self._live, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._live.add(task)
        try:
            with suppress(OSError):
                await self._carry(reader, writer)
        finally:
            self._live.discard(task)
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._behind)
        back = asyncio.create_task(self._pass_back(inner_reader, writer))
        try:
            while data := await reader.read(_CHUNK_BYTES):
                if self.silent:
                    self.heard += data
                else:
                    inner_writer.write(data)
        finally:
            back.cancel()
            inner_writer.transport.abort()

    async def _pass_back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK_BYTES):
                writer.write(data)
            writer.close()
