"""The client of Restate's admin API: what runs, on which release, and ending it (05 · 4)."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Self

import httpx
import structlog

from service.errors import FailedPrecondition, Transient

log = structlog.get_logger(__name__)

_TIMEOUT_SECONDS = 10.0
_TAKEN_UP_SECONDS = 1.0
_IDS_AT_ONCE = 200  # what one query names; the rest goes into further ones
_KILLED = "[409] killed"
_LONGEST_LOGGED = 100
_NOT_READY = 470  # Restate's own (05 · 1)

ENDED = "completed"
PAUSED = "paused"
_COLUMNS = (
    "id, target_service_name, target_service_key, target_handler_name, status, created_at, modified_at, retry_count, "
    "last_failure, completion_failure, pinned_deployment_id"
)


@dataclass(frozen=True)
class Invocation:
    """One invocation as Restate sees it: `status` as in 05 · 4, times in Unix ms, `failure` the end's or the last's."""

    id: str
    service: str
    key: str
    handler: str
    status: str
    created_at_ms: int
    modified_at_ms: int
    retries: int
    failure: str
    release: str

    @property
    def ended(self) -> bool:
        return self.status == ENDED

    @property
    def was_killed(self) -> bool:
        return self.ended and self.failure.startswith(_KILLED)


@dataclass(frozen=True)
class About:
    """A Restate server's version, such as `1.7.12`, and the time that it says it is, as HTTP writes it."""

    version: str
    date: str


class Admin:
    """Asks Restate's admin API, and acts by it. Every request is bounded; `api_key` is empty for none.

    `ingress_url` is for `knows` alone.
    """

    def __init__(self, url: str, api_key: str = "", ingress_url: str = "") -> None:
        self._ingress_url = ingress_url.rstrip("/")
        self._authorization = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = httpx.AsyncClient(base_url=url.rstrip("/"), timeout=None, trust_env=False)  # noqa: S113 - a request has one for all of it

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def get(self, path: str) -> Any:
        """Read a resource. Raises Transient where the API is away, FailedPrecondition where it refuses."""
        return _content(await self._request("GET", path))

    async def about(self) -> "About":
        """Read who answers. Raises as `get`."""
        answer = await self._request("GET", "/version")
        version = _content(answer)
        with understood():
            return About(str(version.get("version", "")), answer.headers.get("date", ""))

    async def query(self, sql: str) -> list[dict[str, Any]]:
        """Ask Restate's introspection; columns that are null are left out of a row. Raises as `get`."""
        answer = await self._request("POST", "/query", json={"query": sql}, headers={"accept": "application/json"})
        found = _content(answer)
        with understood():
            return [dict(row) for row in found["rows"]]

    async def invocations(self, where: str) -> list[Invocation]:
        """Find invocations by a condition on `sys_invocation`; no value from outside belongs in it unquoted."""
        sql = f"SELECT {_COLUMNS} FROM sys_invocation WHERE {where}"  # noqa: S608 - there are no parameters there
        rows = await self.query(sql)
        with understood():
            return [_invocation(row) for row in rows]

    async def by_id(self, ids: Iterable[str]) -> dict[str, Invocation]:
        """Find invocations by their ids; one that Restate does not know (any more) is left out."""
        wanted = sorted(set(ids))
        found: dict[str, Invocation] = {}
        for first in range(0, len(wanted), _IDS_AT_ONCE):
            listed = quoted(wanted[first : first + _IDS_AT_ONCE])
            found |= {each.id: each for each in await self.invocations(f"id IN ({listed})")}
        return found

    async def inputs(self, ids: Iterable[str]) -> dict[str, bytes]:
        """Read what invocations were asked: id → request, as its caller wrote it."""
        wanted = sorted(set(ids))
        found: dict[str, bytes] = {}
        for first in range(0, len(wanted), _IDS_AT_ONCE):
            listed = quoted(wanted[first : first + _IDS_AT_ONCE])
            # The quotes are doubled, and there are no parameters in this SQL.
            rows = await self.query(f"SELECT id, raw FROM sys_journal WHERE index = 0 AND id IN ({listed})")  # noqa: S608
            with understood():
                found |= {row["id"]: input_of(row["raw"]) for row in rows}
        return found

    async def cancel(self, invocation_id: str) -> bool:
        """Ask an invocation to end in order; one that has not begun never begins. False where it has ended already."""
        return await self._act(invocation_id, "cancel")

    async def resume(self, invocation_id: str) -> bool:
        """Let a paused invocation go on. False where it has ended, or was not paused."""
        return await self._act(invocation_id, "resume")

    async def knows(self, invocation_id: str) -> bool:
        """Tell whether there is such an invocation, touching nothing: its own partition is asked for its result.

        The admin API has no such question: its introspection may miss a partition, and all else there acts. So the
        ingress is asked. Raises Transient where that is away, FailedPrecondition where what answers is no Restate.
        """
        url = f"{self._ingress_url}/restate/invocation/{invocation_id}/output"
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                answer = await self._http.get(url)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            log.warning("Restate's ingress cannot be reached", error=type(error).__name__)
            raise Transient("Restate's ingress cannot be reached", reason="RESTATE_UNAVAILABLE") from None
        return _is_known(answer)

    async def unregister(self, deployment_id: str) -> bool:
        """Forget a worker's registration, whatever still belongs to it. False where there is none."""
        answer = await self._request("DELETE", f"/deployments/{deployment_id}", params={"force": "true"})
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return False
        _content(answer)
        return True

    async def cancel_paused(self, invocation_id: str) -> None:
        """Cancel an invocation that is paused, and let it go on: it hears of it then (05 · 4).

        Told a second time once it goes on: what it is told while it is being taken up is not always heard. Its undo
        survives that.
        """
        if await self.cancel(invocation_id) and await self.resume(invocation_id):
            await asyncio.sleep(_TAKEN_UP_SECONDS)
            await self.cancel(invocation_id)

    async def _act(self, invocation_id: str, action: str) -> bool:
        answer = await self._request("PATCH", f"/invocations/{invocation_id}/{action}")
        if answer.status_code in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
            return False
        _content(answer)
        return True

    async def _request(self, method: str, path: str, **parts: Any) -> httpx.Response:
        headers = self._authorization | parts.pop("headers", {})
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                return await self._http.request(method, path, headers=headers, **parts)
        except (httpx.HTTPError, TimeoutError, ValueError) as error:  # ValueError: of a key that no header can hold
            log.warning("Restate's admin API cannot be reached", error=type(error).__name__)
        raise Transient("Restate's admin API cannot be reached", reason="RESTATE_UNAVAILABLE")


def quoted(values: Iterable[str]) -> str:
    """Write values as a list for SQL's IN; an empty one matches nothing."""
    return ", ".join("'" + value.replace("'", "''") + "'" for value in values) or "NULL"


def input_of(raw: str) -> bytes:
    """Return the request in an invocation's first journal entry, from its column `raw`: hexadecimal.

    The entry is Restate's InputCommandMessage; its field 14 holds the value, whose field 1 is the request.
    """
    return _field(_field(bytes.fromhex(raw), 14), 1)


def _field(message: bytes, number: int) -> bytes:
    """Return a length-delimited field of a protobuf message that has only such; empty where it is not there."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        length, at = _varint(message, at)
        if tag >> 3 == number:
            return message[at : at + length]
        at += length
    return b""


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:  # noqa: PLR2004 - the sign that another byte follows
            return value, at


def _is_known(answer: httpx.Response) -> bool:
    """Read what the ingress answers to who asks for a result (05 · 1): the handler's own error, where it failed."""
    source = _source(answer)
    if answer.status_code in (HTTPStatus.OK, _NOT_READY) or source == "invocation":
        return True
    if answer.status_code == HTTPStatus.NOT_FOUND and source == "ingress":
        return False
    if answer.is_server_error:
        raise Transient(f"Restate's ingress answered {answer.status_code}", reason="RESTATE_UNAVAILABLE")
    raise FailedPrecondition(
        f"Restate's ingress answered {answer.status_code}: is restate.ingress_url that of a Restate server of "
        "1.7 or newer?",
        reason="RESTATE_REFUSES",
    )


def _source(answer: httpx.Response) -> str:
    """Return who made an error, the handler (`invocation`) or the `ingress`; empty where it is not said."""
    try:
        said = answer.json()
    except (ValueError, RecursionError):
        return ""
    return str(said.get("source", "")) if isinstance(said, dict) else ""


def _content(answer: httpx.Response) -> Any:
    if answer.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        raise FailedPrecondition(
            "Restate's admin API does not know us: check restate.api_key", reason="RESTATE_REFUSES_US"
        )
    if answer.is_server_error:
        raise Transient(f"Restate's admin API answered {answer.status_code}", reason="RESTATE_UNAVAILABLE")
    if not answer.is_success:
        raise FailedPrecondition(
            f"Restate's admin API answered {answer.status_code}: is restate.admin_url that of a Restate server of "
            "1.7 or newer?",
            reason="RESTATE_REFUSES",
        )
    try:
        return answer.json() if answer.content else None
    except (ValueError, RecursionError):  # no JSON, or no text at all
        raise _no_restate() from None


@contextmanager
def understood() -> Iterator[None]:
    """Read an answer of the admin API in the block. Raises FailedPrecondition where that has another shape."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        log.warning("an answer of Restate's admin API cannot be read", error=repr(error)[:_LONGEST_LOGGED])
        raise _no_restate() from None


def _no_restate() -> FailedPrecondition:
    return FailedPrecondition(
        "what answers at restate.admin_url is no Restate server of 1.7 or newer", reason="RESTATE_REFUSES"
    )


def _invocation(row: Mapping[str, Any]) -> Invocation:
    return Invocation(
        id=row["id"],
        service=row["target_service_name"],
        key=row.get("target_service_key", ""),
        handler=row["target_handler_name"],
        status=row["status"],
        created_at_ms=_milliseconds(row["created_at"]),
        modified_at_ms=_milliseconds(row["modified_at"]),
        retries=row.get("retry_count", 0),
        failure=row.get("completion_failure") or row.get("last_failure") or "",
        release=row.get("pinned_deployment_id", ""),
    )


def _milliseconds(moment: str) -> int:
    return int(datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp() * 1000)
