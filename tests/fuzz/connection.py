"""A plain connection: bytes as they are, and what comes back."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

_CHUNK = 1 << 16


def _never(_: bytes) -> bool:
    return False


async def say(address: str, data: bytes, *, patience_s: float, enough: Callable[[bytes], bool] = _never) -> bytes:
    """Send bytes to `host:port`, and return what comes back.

    Until the other side ends the connection, or it is enough, or nothing has come for as long as patience lasts.
    """
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    answer = b""
    try:
        with suppress(ConnectionError):  # the other side need not listen to the end
            writer.write(data)
            await writer.drain()
        with suppress(ConnectionError, TimeoutError):
            while chunk := await asyncio.wait_for(reader.read(_CHUNK), patience_s):
                answer += chunk
                if enough(answer):
                    break
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
    return answer
