"""The client of Restate's ingress.

aiohttp, not httpx: httpx searches its whole pool for every request, which made it the bottleneck at 64
connections (05 · 3).
"""

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import aiohttp
import structlog
from yarl import URL

from service import errors
from service.errors import HydraError, Internal, Transient

log = structlog.get_logger(__name__)

_SEND_TIMEOUT = aiohttp.ClientTimeout(total=10, connect=3)
# A call that waits is silent for as long as its invocation lasts, and so is a connection whose other end is gone
# without a word. So it is hung up after a while, and made again.
SILENCE = timedelta(seconds=30)
_NOT_READY = 470  # Restate's own (05 · 1)
_RECONNECTS = 20
_RECONNECT_PAUSE_SECONDS = 0.5


@dataclass(frozen=True)
class Target:
    """A handler of a virtual object."""

    service: str
    rpc: str
    key: str


@dataclass(frozen=True)
class Accepted:
    """An invocation that Restate has durably accepted, now or (`is_repeat`) earlier under the same key."""

    invocation_id: str
    is_repeat: bool


class Ingress:
    """Sends requests to handlers through Restate and waits for their answers."""

    def __init__(self, url: str, silence: timedelta = SILENCE) -> None:
        self._url = url.rstrip("/")
        self._attach_timeout = aiohttp.ClientTimeout(total=silence.total_seconds(), connect=3)
        # Every waiting call is a connection of its own; Restate, not this pool, is to be the limit.
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=False)

    async def close(self) -> None:
        await self._session.close()

    async def is_up(self) -> bool:
        """Tell whether the ingress answers."""
        try:
            async with self._session.get(f"{self._url}/restate/health", timeout=_SEND_TIMEOUT) as answer:
                return answer.status == HTTPStatus.OK
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def send(self, target: Target, body: bytes, headers: Mapping[str, str]) -> Accepted:
        """Hand a request over; it will run whatever becomes of us.

        Raises Transient where Restate is not there, or another answers in its place.
        """
        path = f"/{target.service}/{quote(target.key, safe='')}/{target.rpc}/send"
        try:
            async with self._session.post(
                URL(self._url + path, encoded=True),  # as it is: a key may be . or ..
                data=body,
                headers={"content-type": "application/json", **headers},
                timeout=_SEND_TIMEOUT,
            ) as answer:
                payload = await answer.read()
        except (aiohttp.ClientError, TimeoutError):
            raise _unavailable() from None
        if answer.status not in (HTTPStatus.OK, HTTPStatus.ACCEPTED):
            raise _refusal(answer.status, payload)
        return _accepted(payload)

    async def wait(self, invocation_id: str) -> bytes:
        """Wait for an invocation's answer, without a limit of our own.

        A lost connection is made again: the invocation does not notice. Raises what the handler raised, and Transient
        where Restate does not come back, or another answers in its place: that would pass for a success.
        """
        attempt = 0
        while attempt <= _RECONNECTS:
            try:
                answer = await self._answer(invocation_id, doubtful=attempt > 0)
            except NotReady:
                attempt = 0
            except (aiohttp.ClientError, TimeoutError):
                attempt += 1
                log.info("waiting for an invocation again", invocation=invocation_id, attempt=attempt)
                await asyncio.sleep(_RECONNECT_PAUSE_SECONDS)
            else:
                if answer and _object(answer) is None:  # a handler that returns nothing has an empty one
                    raise strange("for an operation's answer")
                return answer
        raise _unavailable()

    async def _answer(self, invocation_id: str, *, doubtful: bool) -> bytes:
        """Wait for the answer for a while, unless Restate is in doubt, and look for it then. Raises NotReady."""
        if not doubtful:
            with suppress(TimeoutError):
                return await self._get(f"/restate/invocation/{invocation_id}/attach", self._attach_timeout)
        return await self._get(f"/restate/invocation/{invocation_id}/output", _SEND_TIMEOUT)

    async def was_killed(self, invocation_id: str) -> bool:
        """Tell whether an earlier invocation has ended by being killed, so that waiting for it is in vain."""
        try:
            await self._get(f"/restate/invocation/{invocation_id}/output", _SEND_TIMEOUT)
        except (aiohttp.ClientError, TimeoutError):
            raise _unavailable() from None
        except Killed:
            return True
        except HydraError:
            return False
        return False

    async def has_ended(self, invocation_id: str) -> bool:
        """Tell whether an invocation has ended, however; also one that is not known any more."""
        try:
            await self._get(f"/restate/invocation/{invocation_id}/output", _SEND_TIMEOUT)
        except (aiohttp.ClientError, TimeoutError):
            raise _unavailable() from None
        except NotReady:
            return False
        except HydraError:
            return True
        return True

    async def _get(self, path: str, within: aiohttp.ClientTimeout) -> bytes:
        async with self._session.get(self._url + path, timeout=within) as answer:
            payload = await answer.read()
        if answer.status != HTTPStatus.OK:
            raise _refusal(answer.status, payload)
        return payload


class Killed(HydraError):
    """The invocation was killed: nobody undid what it had done."""

    status = "ABORTED"
    http_code = 409


class NotReady(Transient):
    """The invocation has not ended yet."""


def _unavailable() -> Transient:
    return Transient("Restate cannot be reached: try again", reason="RESTATE_UNAVAILABLE")


def strange(where: str) -> Transient:
    """Return the error of an answer that is none of Restate's, but of a proxy, say; and tell the log."""
    log.error("what answers at restate.ingress_url is no Restate server", asked=where)
    return Transient("Restate did not answer as it should: try again", reason="RESTATE_UNAVAILABLE")


def _accepted(payload: bytes) -> Accepted:
    answer = _read(payload)
    invocation_id, status = answer.get("invocationId"), answer.get("status")
    if not isinstance(invocation_id, str) or not invocation_id or not isinstance(status, str):
        raise strange("to take a request")
    return Accepted(invocation_id, status == "PreviouslyAccepted")


def _refusal(status: int, payload: bytes) -> HydraError:
    """Read an error answer: ours by its metadata, else what Restate itself says (05 · 1)."""
    answer = _read(payload)
    message = str(answer.get("message", ""))
    ours = errors.load(message, _texts(answer.get("metadata")))
    if ours is not None:
        return ours
    if status == HTTPStatus.CONFLICT and message == "killed":
        return Killed("the operation was killed by an operator: call again to begin a new attempt", reason="KILLED")
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE) and answer.get("source") != "invocation":
        return Transient("no worker has registered this service yet: try again", reason="WORKER_NOT_REGISTERED")
    if status == _NOT_READY:
        return NotReady("the operation has not ended yet", reason="NOT_READY")
    log.error("unexpected answer from Restate", status=status, message=message[:200])
    return Internal("the operation ended in a way that it should not; see the service's log", reason="INTERNAL")


def _texts(metadata: object) -> dict[str, str]:
    """Return metadata as we write them, and none for those that hold anything else than texts."""
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        return {}
    return metadata


def _read(payload: bytes) -> dict[str, Any]:
    """Return a JSON object, and an empty one for all that is none."""
    return _object(payload) or {}


def _object(payload: bytes) -> dict[str, Any] | None:
    try:
        answer = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None
