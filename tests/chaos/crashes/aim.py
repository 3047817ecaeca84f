"""What the harness and the worker that is to crash tell each other: files in a folder, which outlive both."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

FOLDER = "HYDRA_TEST_CRASHES"


class Spot(StrEnum):
    """Where in a step. COMMIT is before a COMMIT is sent; WAIT is where the action waits for the first time.

    ASKED is when somebody outside has done what the action asked for, and has not answered yet. AFTER is between the
    end of the action and its journal entry.
    """

    BEFORE = "before"
    COMMIT = "commit"
    WAIT = "wait"
    ASKED = "asked"
    AFTER = "after"


@dataclass(frozen=True)
class Place:
    """One journaled step of a run: in the handler of an object, the `nth` of its name there, from 0."""

    service: str
    handler: str
    key: str
    step: str
    nth: int


@dataclass(frozen=True)
class Fault:
    """What is to befall a step, once. `number` counts commits, or what is asked, from 1.

    A deadly one kills the worker. Any other holds the step until the harness lets it go.
    """

    place: Place
    spot: Spot
    number: int = 1
    deadly: bool = True


@dataclass(frozen=True)
class Aim:
    """The faults of one run; `in_turn` lets no two actions run at once, so that it is plain who asked for what."""

    run: str
    faults: tuple[Fault, ...] = ()
    in_turn: bool = False


@dataclass(frozen=True)
class Event:
    """Something that a step came to: `begin`, `commit` or `end`, at a time of the machine's monotonic clock."""

    place: Place
    kind: str
    at_s: float


class Post:
    """The folder through which both sides speak."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._aim = folder / "aim.json"
        self._settings = folder / "settings.json"

    def take(self, aim: Aim) -> None:
        """Aim from now on."""
        written = self._folder / "aim.new"
        written.write_text(json.dumps(asdict(aim)))
        written.rename(self._aim)

    def set(self, settings: Mapping[str, str]) -> None:
        """Give workers that start from now on these settings, by environment variables, on top of what all have."""
        self._settings.write_text(json.dumps(dict(settings)))

    def settings(self) -> dict[str, str]:
        if not self._settings.exists():
            return {}
        read: dict[str, str] = json.loads(self._settings.read_text())
        return read

    def aim(self) -> Aim | None:
        if not self._aim.exists():
            return None
        read = json.loads(self._aim.read_text())
        return Aim(read["run"], tuple(_fault(one) for one in read["faults"]), read["in_turn"])

    def note(self, run: str, event: Event) -> None:
        with self._trace(run).open("a") as trace:
            trace.write(json.dumps(asdict(event)) + "\n")

    def events(self, run: str) -> list[Event]:
        if not self._trace(run).exists():
            return []
        read = (json.loads(line) for line in self._trace(run).read_text().splitlines())
        return [Event(Place(**one["place"]), one["kind"], one["at_s"]) for one in read]

    def met(self, run: str, number: int) -> Path:
        """Name the file that says that a fault, by its number among the run's, has been met."""
        return self._folder / f"{run}.{number}.met"

    def go(self, run: str, number: int) -> Path:
        """Name the file that lets a step go that is held by a fault."""
        return self._folder / f"{run}.{number}.go"

    def unmet(self, aim: Aim) -> Iterable[tuple[int, Fault]]:
        return ((number, fault) for number, fault in enumerate(aim.faults) if not self.met(aim.run, number).exists())

    def _trace(self, run: str) -> Path:
        return self._folder / f"{run}.trace"


def _fault(read: dict[str, Any]) -> Fault:
    return Fault(Place(**read["place"]), Spot(read["spot"]), read["number"], read["deadly"])
