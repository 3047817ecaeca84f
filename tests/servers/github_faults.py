"""How a fake GitHub misbehaves, for the next requests of some path."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from fnmatch import fnmatch
from typing import Any

from aiohttp import web


class End(Enum):
    """How it ends: with a whole answer, or after half of one or nothing in silence, or with a dead line."""

    ANSWER = "answer"
    HANG = "hang"
    CLOSE = "close"


@dataclass(frozen=True)
class Fault:
    """A false answer. With status 0 nothing is said, or, when it ends with an ANSWER, the true one is given.

    `after` is waited for first. A body that is not bytes is sent as JSON.
    """

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = b""
    end: End = End.ANSWER
    after: asyncio.Event | None = None


class Faults:
    """The faults to come, each for one request."""

    def __init__(self) -> None:
        self._planned: list[tuple[str, Fault]] = []
        self._leaving = asyncio.Event()

    def plan(self, path: str, fault: Fault, times: int = 1) -> None:
        """Treat the next requests whose path matches so; `*` stands for anything, slashes included."""
        self._planned += [(path, fault)] * times

    def leave(self) -> None:
        """End what hangs."""
        self._leaving.set()

    async def commit(self, request: web.Request, path: str) -> web.StreamResponse | None:
        """Misbehave where that is planned; None means to go on with the true answer."""
        found = next((each for each in self._planned if fnmatch(path, each[0])), None)
        if found is None:
            return None
        self._planned.remove(found)
        fault = found[1]
        if fault.after is not None:
            await fault.after.wait()
        if fault.end is End.ANSWER:
            return _whole(fault) if fault.status else None
        return await self._half(request, fault)

    async def _half(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        response = web.StreamResponse(status=fault.status or 200, headers=fault.headers)
        if fault.status:
            response.content_length = len(fault.body) + 1
            await response.prepare(request)
            await response.write(fault.body)
        if fault.end is End.HANG:
            await self._leaving.wait()
        if request.transport is not None:
            request.transport.abort()
        return response


def _whole(fault: Fault) -> web.Response:
    if isinstance(fault.body, bytes):
        return web.Response(status=fault.status, headers=fault.headers, body=fault.body)
    return web.json_response(fault.body, status=fault.status, headers=fault.headers)
