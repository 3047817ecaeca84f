"""How a fake GitHub answers: refusals with its words, pages with their links, and times."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from yarl import URL

_PER_PAGE = 30
_PER_PAGE_MOST = 100


class Refused(Exception):
    """A refusal, raised where it is found and answered by the gate."""

    def __init__(
        self, status: int, message: str, errors: Sequence[Any] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = errors
        self.headers = headers or {}

    def answer(self) -> web.Response:
        body: dict[str, Any] = {"message": self.message, "documentation_url": "https://docs.github.com/rest"}
        if self.errors:
            body["errors"] = list(self.errors)
        return web.json_response(body | {"status": str(self.status)}, status=self.status, headers=self.headers)


def not_found() -> Refused:
    return Refused(404, "Not Found")


def not_accessible() -> Refused:
    return Refused(403, "Resource not accessible by integration")


def missing(name: str) -> Refused:
    return Refused(422, f'Invalid request.\n\n"{name}" wasn\'t supplied.')


def invalid(resource: str, field: str, message: str, code: str = "custom") -> Refused:
    error = {"resource": resource, "code": code, "field": field, "message": message}
    return Refused(422, "Validation Failed", [error])


async def said(request: web.Request) -> dict[str, Any]:
    """Return the object that a request brings; an empty one where it brings nothing."""
    if not await request.read():
        return {}
    try:
        body = await request.json()
    except ValueError:
        raise Refused(400, "Problems parsing JSON") from None
    if not isinstance(body, dict):
        raise Refused(400, "Body should be a JSON object")
    return body


def require_kinds(body: dict[str, Any], **kinds: type) -> None:
    """Raise Refused where something is there and of another kind."""
    for name, kind in kinds.items():
        value = body.get(name)
        if value is not None and not isinstance(value, kind):
            raise Refused(422, f"Invalid request.\n\nFor 'properties/{name}', {value!r} is not a {kind.__name__}.")


def page(request: web.Request, rows: Sequence[dict[str, Any]], address: str) -> web.Response:
    """Answer with the page that is asked for; its links lead to `address`, which names the repository by its id."""
    size = min(_number(request, "per_page", _PER_PAGE), _PER_PAGE_MOST)
    number = _number(request, "page", 1)
    last = max(1, -(-len(rows) // size))
    leads = {"prev": number - 1, "next": number + 1, "last": last, "first": 1}
    if number == 1:
        del leads["prev"], leads["first"]
    if number >= last:
        del leads["next"], leads["last"]
    url = URL(address).with_query(request.query)
    links = ", ".join(f'<{url.update_query(page=str(to))}>; rel="{rel}"' for rel, to in leads.items())
    shown = list(rows[(number - 1) * size : number * size])
    return web.json_response(shown, headers={"Link": links} if links else {})


def _number(request: web.Request, name: str, default: int) -> int:
    """Read a number of one or more; GitHub passes over anything else."""
    value = request.query.get(name, "")
    return int(value) if value.isdecimal() and int(value) else default


def iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms // 1000, UTC).isoformat().replace("+00:00", "Z")
