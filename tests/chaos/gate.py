"""A gate before one port of this machine: passes bytes on, until the part behind it is to seem away, slow or dead."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import StrEnum
from typing import Self

_CHUNK_BYTES = 64 * 1024
_LATE_S = 1.0
_TRICKLE_S = 0.2


class Mode(StrEnum):
    """How the part behind the gate seems to those before it.

    AWAY: connections are refused, and those that are open are cut. SLOW: each piece of an answer is a second late.
    TRICKLE: answers come byte by byte, five in a second. HALF_OPEN: whoever connects is let in and never answered, and
    the connections that are open fall silent, too, for good: as behind a router that has forgotten them.
    """

    OPEN = "open"
    AWAY = "away"
    SLOW = "slow"
    TRICKLE = "trickle"
    HALF_OPEN = "half-open"


class Gate:
    """Listens on a port of its own, which it keeps."""

    def __init__(self, behind: int) -> None:
        self.port = 0
        self.mode = Mode.OPEN
        self._behind = behind
        self._lines: set[_Line] = set()
        self._server: asyncio.Server | None = None

    @property
    def connections(self) -> int:
        """How many callers are connected."""
        return len(self._lines)

    @property
    def stranded(self) -> int:
        """How many of them are connected to nothing any more, and have not noticed."""
        return sum(line.dead for line in self._lines)

    @asynccontextmanager
    async def outage(self, mode: Mode) -> AsyncIterator[None]:
        """Seem so while the block lasts."""
        await self.begin(mode)
        try:
            yield
        finally:
            await self.end()

    async def begin(self, mode: Mode) -> None:
        self.mode = mode
        match mode:
            case Mode.AWAY:
                self._close()
            case Mode.HALF_OPEN:
                for line in self._lines:
                    line.dead = True

    async def end(self) -> None:
        self.mode = Mode.OPEN
        if self._server is None:
            await self._listen()

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._close()
        await asyncio.gather(*(line.task for line in self._lines))

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for line in self._lines:
            line.task.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = _Line(self)
        self._lines.add(line)
        with suppress(OSError, asyncio.CancelledError):
            await line.carry(reader, writer, self._behind)
        self._lines.discard(line)
        writer.transport.abort()


class _Line:
    """One connection; `dead` is one that leads nowhere any more."""

    def __init__(self, gate: Gate) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.task = task
        self.dead = gate.mode is Mode.HALF_OPEN
        self._gate = gate

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, behind: int) -> None:
        """Carry bytes both ways until either side ends; on a dead line, until the caller does."""
        if self.dead:
            return await _swallow(reader)
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", behind)
        there = asyncio.create_task(self._pass_on(reader, inner_writer))
        back = asyncio.create_task(self._pass_back(inner_reader, writer))
        try:
            await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
            if self.dead:
                await there
        finally:
            for pump in (there, back):
                pump.cancel()
            await asyncio.gather(there, back, return_exceptions=True)
            inner_writer.transport.abort()
        return None

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK_BYTES):
            if self.dead:
                return await _swallow(reader)
            writer.write(data)
            await writer.drain()
        return None

    async def _pass_back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK_BYTES):
            if self._gate.mode is Mode.SLOW:
                await asyncio.sleep(_LATE_S)
            while self._gate.mode is Mode.TRICKLE and data:
                writer.write(data[:1])
                data = data[1:]
                await asyncio.sleep(_TRICKLE_S)
            if self.dead:
                return
            writer.write(data)
            await writer.drain()


async def _swallow(reader: asyncio.StreamReader) -> None:
    while await reader.read(_CHUNK_BYTES):
        pass
