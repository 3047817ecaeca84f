"""Who asks the endpoint for what only a Restate server asks, in a form that no Restate server would use.

The SDK answers that with 500 and a traceback (1.3.0).
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

Scope = dict[str, Any]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_INVOCATION = re.compile(rb"application/vnd\.restate\.invocation\.v[5-8]")  # what the SDK speaks (1.3.0)
_MANIFEST = re.compile(rb"application/vnd\.restate\.endpointmanifest\.v[45]\+json")  # from 4 on with retry policies


def refusal(scope: Scope, path: str, *, signed: bool) -> HTTPStatus | None:
    """Tell with which status a request is refused, None for one that may be Restate's; `path` is below the mount.

    Where requests are to be `signed`, the SDK asks for that first: who cannot sign is told no more than that.
    """
    headers: Mapping[bytes, bytes] = dict(scope["headers"])
    if not all(_is_text(value) for pair in headers.items() for value in pair):
        return HTTPStatus.BAD_REQUEST
    if signed:
        return None
    if path == "discover":
        return _unless(scope, "GET", bool(_MANIFEST.search(headers.get(b"accept", b""))))
    if path.startswith("invoke/"):
        return _unless(scope, "POST", bool(_INVOCATION.fullmatch(headers.get(b"content-type", b""))))
    return None


def _unless(scope: Scope, method: str, spoken: bool) -> HTTPStatus | None:  # noqa: FBT001 - one word of a sentence
    if scope["method"] != method:
        return HTTPStatus.METHOD_NOT_ALLOWED
    return None if spoken else HTTPStatus.UNSUPPORTED_MEDIA_TYPE


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


class HeldStart:
    """Passes on what an app sends, but its status only with what follows: until then there can be another."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: dict[str, Any] | None = None
        self.begun = False

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        if self._start is not None:
            start, self._start, self.begun = self._start, None, True
            await self._send(start)
        await self._send(message)
