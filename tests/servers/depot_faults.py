"""What can happen to a call of the fake Depot."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web

# https://connectrpc.com/docs/protocol/#error-codes
HTTP_STATUS = {
    "canceled": 499,
    "unknown": 500,
    "invalid_argument": 400,
    "deadline_exceeded": 504,
    "not_found": 404,
    "already_exists": 409,
    "permission_denied": 403,
    "resource_exhausted": 429,
    "failed_precondition": 400,
    "aborted": 409,
    "out_of_range": 400,
    "unimplemented": 501,
    "internal": 500,
    "unavailable": 503,
    "data_loss": 500,
    "unauthenticated": 401,
}
_JSON = {"Content-Type": "application/json"}


@dataclass
class Fault:
    """Any of those below. With `after` the call has done its work when it happens."""

    after: bool = field(default=False, kw_only=True)


@dataclass
class Refuse(Fault):
    """An error as Connect words it; the status is the code's own unless another is given."""

    code: str
    message: str = "no"
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Say(Fault):
    """Any answer at all."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: _JSON)


@dataclass
class Hang(Fault):
    """No answer, ever; with `begun`, one that begins and does not end."""

    begun: bool = False


@dataclass
class Close(Fault):
    """The connection ends without an answer."""


@dataclass
class Gate(Fault):
    """A call, or with `after` its answer, that is held until `open` is set; `reached` tells that one waits."""

    reached: asyncio.Event = field(default_factory=asyncio.Event)
    open: asyncio.Event = field(default_factory=asyncio.Event)


async def meet(
    fault: Fault, request: web.Request, work: Callable[[], web.Response], closed: asyncio.Event
) -> web.StreamResponse:
    """Let a fault happen to a call whose work is `work`. Those that wait do so until the server is `closed`."""
    done = work() if fault.after else None
    match fault:
        case Refuse(code, message, status, headers):
            return refusal(code, message, status, headers)
        case Say(body, status, headers):
            return web.Response(body=body, status=status, headers=headers)
        case Gate(reached, opened):
            reached.set()
            await _first_of(opened, closed)
            return done or work()
        case Hang(begun=True):
            endless = web.StreamResponse(headers=_JSON)
            await endless.prepare(request)
            await endless.write(b"{")
            await closed.wait()
            return endless
        case Hang():
            await closed.wait()
        case Close() if request.transport is not None:
            request.transport.abort()
    return web.Response()


def refusal(code: str, message: str, status: int = 0, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response({"code": code, "message": message}, status=status or HTTP_STATUS[code], headers=headers)


async def _first_of(*events: asyncio.Event) -> None:
    waits = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
