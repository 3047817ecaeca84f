"""What a check finds."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum

from service.clock import now_ms
from service.config import Settings

_APART = timedelta(seconds=5)
_SECOND_MS = 1000
SOON_MS = 14 * 24 * 3600 * _SECOND_MS  # what ends within that is warned of


class Level(StrEnum):
    """How it is. A warning can wait; what is not configured is nobody's fault."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"
    OFF = "not configured"


@dataclass(frozen=True)
class Finding:
    """One check: `found` and `advice` hold no secret. There is advice where something is to be done."""

    part: str
    check: str
    level: Level
    found: str
    advice: str = ""


Examination = AsyncIterator[Finding]
Examine = Callable[[Settings], Examination]


@dataclass(frozen=True)
class Part:
    """A part of an installation, by name."""

    name: str

    def ok(self, check: str, found: str) -> Finding:
        return Finding(self.name, check, Level.OK, found)

    def warning(self, check: str, found: str, advice: str) -> Finding:
        return Finding(self.name, check, Level.WARNING, found, advice)

    def fault(self, check: str, found: str, advice: str) -> Finding:
        return Finding(self.name, check, Level.FAULT, found, advice)

    def off(self, check: str, found: str) -> Finding:
        return Finding(self.name, check, Level.OFF, found)

    def clock(self, theirs: "Reading | None") -> Finding:
        """Compare another machine's clock with ours; None where it did not tell."""
        if theirs is None:
            return self.warning("clock", "it does not say what time it is", "compare the clocks by hand")
        apart_ms = theirs.apart_ms
        if abs(apart_ms) <= _APART / timedelta(milliseconds=1):
            return self.ok("clock", "as this machine's")
        said = f"{abs(apart_ms) / _SECOND_MS:.0f} s {'ahead of' if apart_ms > 0 else 'behind'} this machine's"
        return self.warning("clock", said, "set both clocks by NTP: deadlines, leases and tokens go by them")


@dataclass(frozen=True)
class Reading:
    """Another machine's clock, which was between two moments when it was read, and ours before and after that."""

    earliest_ms: int
    latest_ms: int
    asked_ms: int
    answered_ms: int

    @property
    def apart_ms(self) -> int:
        """How far it is ahead of ours, or behind by a negative number, for certain; 0 where it may be right."""
        return max(self.earliest_ms - self.answered_ms, 0) or min(self.latest_ms - self.asked_ms, 0)


def reading(moment_ms: int, asked_ms: int) -> Reading:
    """Take a clock's time that was asked for at `asked_ms`, and has come just now."""
    return Reading(moment_ms, moment_ms, asked_ms, now_ms())


def reading_of(date: str, asked_ms: int) -> Reading | None:
    """Take the time of an HTTP answer, which is whole seconds; None where it has none."""
    try:
        second_ms = int(parsedate_to_datetime(date).timestamp() * _SECOND_MS)
    except ValueError:
        return None
    return Reading(second_ms, second_ms + _SECOND_MS, asked_ms, now_ms())
