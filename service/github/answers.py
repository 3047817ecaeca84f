"""What GitHub answers, and how fields are read from it: a field that is not there is an outage, not a crash."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from service.github.refusals import unusable


@dataclass(frozen=True)
class Answer:
    """A status below 500, the parsed JSON beside it, which may hold a token, None for none, and the headers."""

    status: int
    body: Any = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


def text(body: Any, *path: str) -> str:
    """Return the string at `path`, which may be empty. Raises Transient where there is none."""
    found = find(body, *path)
    if not isinstance(found, str):
        raise unusable()
    # JSON can spell half a character, which no database takes.
    return found.encode(errors="replace").decode()


def number(body: Any, *path: str) -> int:
    """Return the number of one or more at `path`, as all of GitHub's are. Raises Transient where there is none."""
    found = find(body, *path)
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise unusable()
    return found


def moment_ms(body: Any, *path: str) -> int:
    """Return the ISO 8601 time at `path` as Unix milliseconds. Raises Transient where there is none."""
    try:
        moment = datetime.fromisoformat(text(body, *path))
    except ValueError:
        raise unusable() from None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def find(body: Any, *path: str) -> Any:
    """Return what is at `path`, None where nothing is."""
    for name in path:
        body = body.get(name) if isinstance(body, dict) else None
    return body
