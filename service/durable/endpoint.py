"""The HTTP endpoint that Restate calls, with the health paths beside it.

granian, embedded: one event loop for Restate and gRPC, and half of hypercorn's CPU per invocation (05 · 3).
"""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import restate
import structlog
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP2Settings
from granian.server.embed import Server
from restate.vm import VMException  # type: ignore[attr-defined] # where else it is has a private name

from service import background
from service.durable.binding import Served
from service.durable.entrance import HeldStart, refusal
from service.errors import FailedPrecondition

log = structlog.get_logger(__name__)

_LONGEST_LOGGED = 100
# Restate may go without a word, as when its machine dies. Without pings its connections, and the attempts on them,
# would be held for ever.
_PINGS = HTTP2Settings(keep_alive_interval=30_000, keep_alive_timeout=20)  # milliseconds and seconds, as granian has it

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Probe = Callable[[], Awaitable[bool]]


@dataclass(frozen=True)
class Address:
    """Where to listen, and to whom: Restate servers that sign with one of `identity_keys`, or anybody for none.

    Who does not sign gets 401 from the SDK (05 · 2).
    """

    host: str
    port: int
    identity_keys: Sequence[str] = ()


class Endpoint:
    """Serves virtual objects under `/r/<release>/`, and `/health/<probe>` for every probe."""

    def __init__(self, objects: Iterable[Served], release: str, probes: Mapping[str, Probe], address: Address) -> None:
        served = list(objects)
        self._restate = restate.app(served, protocol="bidi", identity_keys=[*address.identity_keys]) if served else None
        self._mount = f"/r/{release}/"
        self._address = address
        self._probes = {f"/health/{name}": probe for name, probe in probes.items()}
        self._server = Server(
            self._app,
            address=address.host,
            port=address.port,
            interface=Interfaces.ASGINL,
            http=HTTPModes.auto,  # Restate speaks HTTP/2, probes speak HTTP/1.1
            http2_settings=_PINGS,
            websockets=False,
            log_enabled=False,
        )
        self._serving: asyncio.Task[None] | None = None

    @property
    def path(self) -> str:
        """The path that Restate is to be told: a new release is a new deployment to it (05 · 4)."""
        return self._mount.rstrip("/")

    def start(self) -> None:
        """Begin to listen. Raises FailedPrecondition where the address is taken."""
        self._require_free()
        self._serving = background.once("restate-endpoint", self._server.serve)

    def _require_free(self) -> None:
        """Check what granian does not: it would share a port, and each process would get some of the other's calls."""
        host, port = self._address.host, self._address.port
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise FailedPrecondition(
                    f"HTTP cannot listen on {host}:{port}: {error.strerror}", reason="ADDRESS_UNUSABLE"
                ) from None

    async def ended(self) -> None:
        """Wait for the server's end, which only an error brings about before `stop`."""
        if self._serving is not None:
            await asyncio.wait([self._serving])

    async def stop(self) -> None:
        """Stop listening. What is cut off is called again by Restate, here or elsewhere."""
        if self._serving is not None and not self._serving.done():
            self._server.stop()  # type: ignore[no-untyped-call] # granian annotates all but this
            await asyncio.wait([self._serving], timeout=5)

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path in self._probes:
            healthy = await self._probes[path]()
            await _answer(send, 200 if healthy else 503, {"status": "ok" if healthy else "unavailable"})
        elif self._restate is not None and path.startswith(self._mount):
            await self._invoke(self._restate, scope, receive, send)
        elif path.startswith("/r/"):
            # An invocation of another release: its journal is not ours to replay. Restate tries again, and
            # finds a worker of that release if one still drains.
            log.warning("invocation of another release refused", path=ascii(path[:_LONGEST_LOGGED]))
            await _answer(send, 503, {"status": "another release"})
        else:
            await _answer(send, 404, {"status": "not found"})

    async def _invoke(self, app: Any, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request to the SDK, if it may be Restate's."""
        status = refusal(scope, scope["path"].removeprefix(self._mount), signed=bool(self._address.identity_keys))
        if status is not None:
            await _answer(send, status, {"status": "not a request of Restate's"})
            return
        held = HeldStart(send)
        try:
            await app(scope, receive, held.send)
        except VMException as error:
            if held.begun:
                raise
            log.warning("a journal that cannot be read was refused", why=str(error)[:_LONGEST_LOGGED])
            await _answer(send, 400, {"status": "not a journal of Restate's"})


async def _answer(send: Send, status: int, body: Mapping[str, str]) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})
