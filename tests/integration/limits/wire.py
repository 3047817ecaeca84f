"""HTTP/2, frame by frame: a client that does what no library would (RFC 9113; gRPC's PROTOCOL-HTTP2)."""

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Self

DEPLOY = "/hydra.v1.DeployService/Deploy"
MAX_CONCURRENT_STREAMS = 3  # a setting
ENHANCE_YOUR_CALM = 11  # an error code

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY = 0, 1, 3, 4, 6, 7
_ACK = _END_STREAM = 1
_END_HEADERS = 4
_HEAD_BYTES = 9
_LOOK_SECONDS = 0.02


class Wire:
    """One connection, which heeds no flow control: what it sends is short.

    `settings` are the server's, `ended` the streams that it is done with, `resets` the error codes of those that it
    tore down, `farewell` the error code and the reason with which it sent the connection away.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.settings: dict[int, int] = {}
        self.begun: set[int] = set()
        self.ended: set[int] = set()
        self.resets: dict[int, int] = {}
        self.farewell: tuple[int, bytes] | None = None
        self.pongs = 0
        self.answers_pings = True
        self._reader = reader
        self._writer = writer
        self._calls = 0
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, address: str) -> Self:
        host, _, port = address.rpartition(":")
        wire = cls(*await asyncio.open_connection(host, int(port)))
        wire._writer.write(_PREFACE)
        wire._send(_SETTINGS)
        return wire

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cut()

    @property
    def is_open(self) -> bool:
        return not self._reading.done()

    def call(self, message: bytes | None = None, *, path: str = DEPLOY) -> int:
        """Begin a call and return its stream; without a message none is sent, and the stream stays open."""
        stream = 2 * self._calls + 1
        self._calls += 1
        headers = {
            ":method": "POST",
            ":scheme": "http",
            ":path": path,
            ":authority": "hydra",
            "te": "trailers",
            "content-type": "application/grpc",
        }
        self._send(_HEADERS, b"".join(_field(*header) for header in headers.items()), _END_HEADERS, stream)
        if message is not None:
            self.send(stream, struct.pack(">?I", False, len(message)) + message, end=True)  # noqa: FBT003 - a flag of gRPC
        return stream

    async def wait(self, message: bytes) -> int:
        """Begin a call, again where it is refused, and return its stream once it is accepted."""
        stream = self.call(message)
        while stream not in self.begun:
            if stream in self.ended:
                stream = self.call(message)
            await asyncio.sleep(_LOOK_SECONDS)
        return stream

    def send(self, stream: int, data: bytes, *, end: bool = False) -> None:
        """Send a part of a message, or nothing, and perhaps the end of what is sent."""
        self._send(_DATA, data, _END_STREAM * end, stream)

    def ping(self) -> None:
        self._send(_PING, bytes(8))

    async def cut(self) -> None:
        """End the connection with a reset, as a machine does that forgot about it."""
        if self.is_open:
            own = self._writer.transport.get_extra_info("socket")
            own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._writer.transport.abort()
        await self._reading

    def _send(self, kind: int, payload: bytes = b"", flags: int = 0, stream: int = 0) -> None:
        length = len(payload).to_bytes(3)
        self._writer.write(length + struct.pack(">BBI", kind, flags, stream) + payload)

    async def _read(self) -> None:
        with suppress(OSError, EOFError):
            while True:
                head = await self._reader.readexactly(_HEAD_BYTES)
                payload = await self._reader.readexactly(int.from_bytes(head[:3]))
                kind, flags, stream = struct.unpack(">BBI", head[3:])
                self._take(kind, flags, stream, payload)
        self._writer.transport.abort()

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _SETTINGS and not flags & _ACK:
            self.settings.update(struct.iter_unpack(">HI", payload))
            self._send(_SETTINGS, flags=_ACK)
        elif kind == _PING and flags & _ACK:
            self.pongs += 1
        elif kind == _PING and self.answers_pings:
            self._send(_PING, payload, _ACK)
        elif kind == _GOAWAY:
            self.farewell = (int.from_bytes(payload[4:8]), payload[8:])
        elif kind == _RST_STREAM:
            self.resets[stream] = int.from_bytes(payload)
            self.ended.add(stream)
        elif kind in (_HEADERS, _DATA):
            (self.ended if flags & _END_STREAM else self.begun).add(stream)


def _field(name: str, value: str) -> bytes:
    """Write a header as a literal that no table remembers (RFC 7541 · 6.2.2); both have less than 127 bytes."""
    return b"\0" + bytes((len(name),)) + name.encode() + bytes((len(value),)) + value.encode()
