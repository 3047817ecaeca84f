"""Reaches the BuildKit inside a dockerd: HTTP/1.1 on its socket that is upgraded to gRPC (04 · 5.2).

grpc cannot be handed a connection, so a listener of our own takes those it opens, and upgrades one for each.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

_UPGRADE = (
    b"POST /grpc HTTP/1.1\r\n"
    b"Host: docker\r\n"
    b"Connection: Upgrade\r\n"
    b"Upgrade: h2c\r\n"
    b"Content-Length: 0\r\n"
    b"\r\n"
)  # fmt: skip
_UPGRADED = b" 101 "
_CHUNK_BYTES = 64 * 1024


@asynccontextmanager
async def bridge_to(docker_socket: Path) -> AsyncIterator[Path]:
    """Listen on a socket that only this user can reach; what connects there talks to dockerd's BuildKit."""
    live: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a stream's callback is a task
        live.add(task)
        # A cancelled callback would be reported with a traceback, and a dockerd that cannot be reached
        # shows to grpc as a connection that ends at once.
        with suppress(OSError, EOFError, asyncio.LimitOverrunError, asyncio.CancelledError):
            await _carry(reader, writer, docker_socket)
        live.discard(task)
        writer.close()

    with TemporaryDirectory(prefix="buildkit-") as folder:
        path = Path(folder) / "s"
        server = await asyncio.start_unix_server(accept, path)
        try:
            yield path
        finally:
            server.close()
            for task in live:
                task.cancel()
            await asyncio.gather(*live)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, docker_socket: Path) -> None:
    """Carry bytes both ways until either side ends."""
    from_docker, to_docker = await asyncio.open_unix_connection(docker_socket)
    try:
        to_docker.write(_UPGRADE)
        answer = await from_docker.readuntil(b"\r\n\r\n")
        if _UPGRADED not in answer.partition(b"\r\n")[0]:
            return
        pumps = {
            asyncio.create_task(_pump(reader, to_docker)),
            asyncio.create_task(_pump(from_docker, writer)),
        }
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
    finally:
        to_docker.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK_BYTES):
        writer.write(data)
        await writer.drain()
