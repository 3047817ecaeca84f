"""A clock that a test can put forward: the service and its GitHub may share it, or disagree."""

from datetime import timedelta

from service import clock


class Clock:
    """The real time and a bit more."""

    def __init__(self) -> None:
        self._ahead_ms = 0

    def now_ms(self) -> int:
        return clock.now_ms() + self._ahead_ms

    def forward(self, by: timedelta) -> None:
        """Put it forward, or back by a negative amount."""
        self._ahead_ms += int(by.total_seconds() * 1000)
