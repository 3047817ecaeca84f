"""How a fake GitHub misbehaves, for the next requests of some path."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
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

    `after` is waited for first. A body that is not bytes is sent as JSON. With `done_first` what was asked for is done
    before all that, as it is by a GitHub whose answer gets lost.
    """

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = b""
    end: End = End.ANSWER
    after: asyncio.Event | None = None
    done_first: bool = False


@dataclass(frozen=True)
class _Plan:
    method: str
    path: str
    fault: Fault


class Faults:
    """The faults to come, each for one request."""

    def __init__(self) -> None:
        self._planned: list[_Plan] = []
        self._leaving = asyncio.Event()

    def plan(self, path: str, fault: Fault, times: int = 1, *, method: str = "*") -> None:
        """Treat the next requests whose path matches so; `*` stands for anything, slashes included."""
        self._planned += [_Plan(method, path, fault)] * times

    def leave(self) -> None:
        """End what hangs."""
        self._leaving.set()

    async def answer(
        self, request: web.Request, path: str, truly: Callable[[], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Answer a request `truly`, or misbehave where that is planned."""
        fault = self._take(request.method, path)
        if fault is None:
            return await truly()
        done = await truly() if fault.done_first else None
        if fault.after is not None:
            await fault.after.wait()
        if fault.end is not End.ANSWER:
            return await self._half(request, fault)
        if fault.status:
            return _whole(fault)
        return await truly() if done is None else done

    def _take(self, method: str, path: str) -> Fault | None:
        for plan in self._planned:
            if fnmatch(method, plan.method) and fnmatch(path, plan.path):
                self._planned.remove(plan)
                return plan.fault
        return None

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
