"""The HTTP endpoint that Restate calls, with the health paths beside it.

granian, embedded: one event loop for Restate and gRPC, and half of hypercorn's CPU per invocation (05 · 3).
"""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import restate
import structlog
from granian.constants import HTTPModes, Interfaces
from granian.server.embed import Server
from restate import VirtualObject

log = structlog.get_logger(__name__)

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Probe = Callable[[], Awaitable[bool]]


@dataclass(frozen=True)
class Address:
    host: str
    port: int


class Endpoint:
    """Serves virtual objects under `/r/<release>/`, and `/health/<probe>` for every probe."""

    def __init__(
        self, objects: Iterable[VirtualObject], release: str, probes: Mapping[str, Probe], address: Address
    ) -> None:
        served = list(objects)
        self._restate = restate.app(served, protocol="bidi") if served else None
        self._mount = f"/r/{release}/"
        self._address = address
        self._probes = {f"/health/{name}": probe for name, probe in probes.items()}
        self._server = Server(
            self._app,
            address=address.host,
            port=address.port,
            interface=Interfaces.ASGINL,
            http=HTTPModes.auto,  # Restate speaks HTTP/2, probes speak HTTP/1.1
            websockets=False,
            log_enabled=False,
        )
        self._serving: asyncio.Task[None] | None = None

    @property
    def path(self) -> str:
        """The path that Restate is to be told: a new release is a new deployment to it (05 · 4)."""
        return self._mount.rstrip("/")

    def start(self) -> None:
        """Begin to listen. Raises OSError where the address is taken.

        granian would share the port with whoever has it, and each would get some of the other's invocations.
        """
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((self._address.host, self._address.port))
        self._serving = asyncio.create_task(self._server.serve(), name="restate-endpoint")

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
            await self._restate(scope, receive, send)
        elif path.startswith("/r/"):
            # An invocation of another release: its journal is not ours to replay. Restate tries again, and
            # finds a worker of that release if one still drains.
            log.warning("invocation of another release refused", path=path)
            await _answer(send, 503, {"status": "another release"})
        else:
            await _answer(send, 404, {"status": "not found"})


async def _answer(send: Send, status: int, body: Mapping[str, str]) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})
