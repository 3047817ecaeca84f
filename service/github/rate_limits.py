"""How GitHub asks for patience, and who has been asked: going on at a limit may get the App banned.

https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus

from service.github.refusals import rate_limited

_UNSAID_S = 60  # "wait for at least one minute"
_LONGEST_S = 3600  # the window of the primary limit
# What a 403 says that is a limit, without headers that say so; the second is what GitHub Enterprise has called it.
_WORDS = (b"rate limit", b"abuse detection")


class RateLimits:
    """Whom GitHub has told to wait, and until when. Each installation has a limit of its own."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._until_ms: dict[str, int] = {}

    def check(self, who: str) -> None:
        """Raise Transient while `who` has to wait."""
        until_ms = self._until_ms.get(who)
        if until_ms is None:
            return
        left_ms = until_ms - self._now_ms()
        if left_ms > 0:
            raise rate_limited(-(-left_ms // 1000))
        del self._until_ms[who]

    def heed(self, who: str, status: int, headers: Mapping[str, str], payload: bytes) -> None:
        """Raise Transient for an answer that asks `who` to wait, and remember it."""
        if not _is_limit(status, headers, payload):
            return
        now_ms = self._now_ms()
        wait_s = min(max(_wait_s(headers, now_ms // 1000), 1), _LONGEST_S)
        self._until_ms[who] = now_ms + wait_s * 1000
        raise rate_limited(wait_s)


def _is_limit(status: int, headers: Mapping[str, str], payload: bytes) -> bool:
    if status != HTTPStatus.FORBIDDEN:
        return status == HTTPStatus.TOO_MANY_REQUESTS
    used_up = headers.get("x-ratelimit-remaining") == "0"
    return used_up or "retry-after" in headers or any(words in payload.lower() for words in _WORDS)


def _wait_s(headers: Mapping[str, str], now_s: int) -> int:
    after = headers.get("retry-after", "")
    if after.isdecimal():
        return int(after)
    reset = headers.get("x-ratelimit-reset", "")
    if headers.get("x-ratelimit-remaining") == "0" and reset.isdecimal():
        return int(reset) - now_s
    return _UNSAID_S
