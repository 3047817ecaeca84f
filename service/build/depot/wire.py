"""Unary calls of the Connect protocol, as JSON over HTTP (https://connectrpc.com/docs/protocol/#unary-request)."""

import asyncio
import json
from datetime import timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import httpx

from service.build.depot.faults import DepotFault
from service.clock import now_ms

_HEADERS = {
    "Accept-Encoding": "identity",  # an answer's size is bounded as it comes in, so it comes unpacked
    "Connect-Protocol-Version": "1",
    "User-Agent": "hydra-deploy",
}
_ANSWER_BYTES = 4 * 2**20
_SAID_CHARACTERS = 300
_RETRY_AFTER_SECONDS = 24 * 3600
_CODES = frozenset(
    {
        "aborted",
        "already_exists",
        "canceled",
        "data_loss",
        "deadline_exceeded",
        "failed_precondition",
        "internal",
        "invalid_argument",
        "not_found",
        "out_of_range",
        "permission_denied",
        "resource_exhausted",
        "unauthenticated",
        "unavailable",
        "unimplemented",
        "unknown",
    }
)
# What stands for a code where the answer has none: not Depot itself said it, but something before it.
_BY_STATUS: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: "unauthenticated",
    HTTPStatus.FORBIDDEN: "permission_denied",
    HTTPStatus.NOT_FOUND: "unimplemented",
    HTTPStatus.REQUEST_TIMEOUT: "deadline_exceeded",
    HTTPStatus.TOO_EARLY: "unavailable",
    HTTPStatus.TOO_MANY_REQUESTS: "resource_exhausted",
    HTTPStatus.NOT_IMPLEMENTED: "unimplemented",
}


class Wire:
    """Connections to one base address."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url.rstrip("/")
        # No heartbeat waits for another's answer, hence no limit; the time of a call is bounded as a whole, below.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
        self._http = httpx.AsyncClient(headers=_HEADERS, limits=limits, timeout=None)  # noqa: S113 - see above

    async def close(self) -> None:
        await self._http.aclose()

    async def call(self, path: str, body: dict[str, Any], token: str, within: timedelta) -> dict[str, Any]:
        """Call `package.Service/Method` and return the message of the answer. Raises DepotFault."""
        method = path.rpartition("/")[2]
        try:
            async with asyncio.timeout(within.total_seconds()):
                answer, payload = await self._post(path, body, token)
        except TimeoutError:
            raise DepotFault(method, "deadline_exceeded", f"no answer within {within.total_seconds():g} s") from None
        except httpx.LocalProtocolError:
            raise DepotFault(method, "unauthenticated", "the token does not fit into a header") from None
        except httpx.HTTPError as error:  # its text may hold the address
            raise DepotFault(method, "unavailable", type(error).__name__) from None
        message = _read(payload)
        if answer.status_code != HTTPStatus.OK:
            raise _fault(method, answer, message or {}, token)
        if message is None:
            raise DepotFault(method, "unavailable", "the answer is not a JSON object, or is too long")
        return message

    async def _post(self, path: str, body: dict[str, Any], token: str) -> tuple[httpx.Response, bytes]:
        payload = bytearray()
        url = f"{self._base_url}/{path}"
        bearer = {b"Authorization": b"Bearer " + token.encode(errors="replace")}
        async with self._http.stream("POST", url, json=body, headers=bearer) as answer:
            async for part in answer.aiter_raw():
                payload += part
                if len(payload) > _ANSWER_BYTES:
                    return answer, b""
        return answer, bytes(payload)


def _read(payload: bytes) -> dict[str, Any] | None:
    try:
        message = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None


def _fault(method: str, answer: httpx.Response, message: dict[str, Any], token: str) -> DepotFault:
    """Read an error: Connect's own form, or the other ones that were seen on the same host (04 · 7)."""
    status = answer.status_code
    code = str(message.get("code"))
    if code not in _CODES:
        code = _BY_STATUS.get(status, "unavailable" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "")
    said = str(message.get("message") or message.get("error") or "").replace(token, "[token]")
    return DepotFault(
        method,
        code,
        f"{code}, HTTP {status}" if code else f"HTTP {status}",
        said=" ".join(said[:_SAID_CHARACTERS].split()),
        retry_after=_retry_after(answer.headers.get("Retry-After", "")),
    )


def _retry_after(header: str) -> timedelta:
    """Read seconds or a date (RFC 9110 · 10.2.3); nothing and nonsense are no time at all."""
    try:
        seconds = int(header) if header.isdigit() else parsedate_to_datetime(header).timestamp() - now_ms() / 1000
    except (ValueError, OverflowError):
        return timedelta(0)
    return timedelta(seconds=min(max(seconds, 0), _RETRY_AFTER_SECONDS))
