"""How much a fake GitHub may be asked: so much an hour by each, and so much to create in a minute.

https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
"""

from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass

from tests.servers.github_answers import Refused

_PER_HOUR = 5000
_PER_HOUR_OF_NOBODY = 60
_HOUR_MS = 3_600_000
_MINUTE_MS = 60_000


@dataclass
class _Window:
    limit: int
    left: int
    until_ms: int


@dataclass(frozen=True)
class _Creation:
    """The secondary limit, and how it is told."""

    per_minute: int
    status: int
    says_when: bool


class Limits:
    """The limits, by who asks. There is no secondary one until a test sets it."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._windows: dict[str, _Window] = {}
        self._creation: _Creation | None = None
        self._created: defaultdict[str, deque[int]] = defaultdict(deque)

    def allow(self, installation_id: int, requests: int, until_ms: int) -> None:
        """Let an installation ask so often until then, as if it had used up the rest of its limit."""
        self._windows[f"installation {installation_id}"] = _Window(max(_PER_HOUR, requests), requests, until_ms)

    def secondary(self, per_minute: int | None, *, status: int = 403, says_when: bool = True) -> None:
        """Let each create so many comments, deployments and statuses a minute, those before this call aside.

        None is no limit. The refusal has a Retry-After if it `says_when`.
        """
        self._creation = None if per_minute is None else _Creation(per_minute, status, says_when)
        self._created.clear()

    def spend(self, who: str) -> None:
        """Count a request. Raises Refused where none is left."""
        window = self._window(who)
        if window.left == 0:
            of = f"installation ID {who.removeprefix('installation ')}" if who.startswith("installation") else who
            raise Refused(403, f"API rate limit exceeded for {of}.")
        window.left -= 1

    def headers(self, who: str) -> dict[str, str]:
        window = self._window(who)
        return {
            "x-ratelimit-limit": str(window.limit),
            "x-ratelimit-remaining": str(window.left),
            "x-ratelimit-used": str(window.limit - window.left),
            "x-ratelimit-reset": str(-(-window.until_ms // 1000)),
            "x-ratelimit-resource": "core",
        }

    def create(self, who: str) -> None:
        """Count a creation. Raises Refused where there were too many in the last minute."""
        if self._creation is None:
            return
        now_ms, created = self._now_ms(), self._created[who]
        while created and created[0] <= now_ms - _MINUTE_MS:
            created.popleft()
        if len(created) < self._creation.per_minute:
            created.append(now_ms)
            return
        wait_s = -(-(created[0] + _MINUTE_MS - now_ms) // 1000) if created else _MINUTE_MS // 1000
        raise Refused(
            self._creation.status,
            "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
            headers={"Retry-After": str(wait_s)} if self._creation.says_when else {},
        )

    def _window(self, who: str) -> _Window:
        now_ms = self._now_ms()
        window = self._windows.get(who)
        if window is None or window.until_ms <= now_ms:
            limit = _PER_HOUR_OF_NOBODY if who in ("nobody", "stranger") else _PER_HOUR
            window = self._windows[who] = _Window(limit, limit, now_ms + _HOUR_MS)
        return window
