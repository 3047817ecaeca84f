"""A build's steps and lines on paper: as text for people, as JSON for programs (docs/command-line.md)."""

import io
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from rich.console import Console
from rich.text import Text

from service.cli import terminal
from service.domain.build import BuildLogLine, BuildStep

# ECMA-48: what a terminal would act upon. Colours and the like are sequences that end in m, and may stay. What begins a
# string that has no end is taken out alone: nothing of the text may disappear with it. Then the signs that turn
# the direction of writing around.
_COLOUR = r"\x1b\[[0-9;:]*m"
_ACTED_UPON = re.compile(
    rf"(?P<colour>{_COLOUR})"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|\x1b[ -/]*[0-~]?"
    r"|[\x00-\x08\x0a-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)
_PLAIN = "\x1b[0m"


class View(Protocol):
    """What shows a build: told of each line and of each step that ended, in time order where they came so."""

    def know(self, steps: Iterable[BuildStep]) -> None:
        """Take note of steps, in the order of their start, before their lines are shown."""
        ...

    def line(self, line: BuildLogLine) -> None: ...

    def ended(self, step: BuildStep) -> None: ...

    def close(self, status: str) -> None:
        """End the view; `status` is the deployment's."""
        ...


class JsonDocument:
    """Everything as one document, at the end."""

    def __init__(self, deployment_id: str) -> None:
        self._deployment_id = deployment_id
        self._steps: list[BuildStep] = []
        self._lines: list[BuildLogLine] = []

    def know(self, steps: Iterable[BuildStep]) -> None:
        self._steps.extend(steps)

    def line(self, line: BuildLogLine) -> None:
        self._lines.append(line)

    def ended(self, step: BuildStep) -> None:
        """Know it already."""

    def close(self, status: str) -> None:
        document = {
            "deployment_id": self._deployment_id,
            "status": status,
            "steps": [_step(step) for step in self._steps],
            "lines": [asdict(line) for line in self._lines],
        }
        print(json.dumps(document, indent=2, ensure_ascii=False))


class JsonLines:
    """A document to a line, for each thing as it comes."""

    def __init__(self, deployment_id: str) -> None:
        self._deployment_id = deployment_id

    def know(self, steps: Iterable[BuildStep]) -> None:
        """Show them when they have ended."""

    def line(self, line: BuildLogLine) -> None:
        self._print("line", asdict(line))

    def ended(self, step: BuildStep) -> None:
        self._print("step", _step(step))

    def close(self, status: str) -> None:
        self._print("end", {"deployment_id": self._deployment_id, "status": status})

    def _print(self, kind: str, document: dict[str, Any]) -> None:
        print(json.dumps({"kind": kind, **document}, ensure_ascii=False))


@dataclass
class _Shown:
    """What was shown of a step: its number, and the beginning of a line whose end has not come."""

    number: int
    newlines: io.IncrementalNewlineDecoder = field(
        default_factory=lambda: io.IncrementalNewlineDecoder(decoder=None, translate=True)
    )
    begun: str = ""

    def lines(self, chunk: str, *, last: bool = False) -> list[str]:
        """Take a chunk and return the lines that are complete with it, or all where it is the last."""
        text = self.begun + self.newlines.decode(chunk, final=last)
        *complete, self.begun = text.split("\n")
        if last and self.begun:
            complete.append(self.begun)
            self.begun = ""
        return complete


class TextLog:
    """Lines for people, each with the number of its step: `#3 [2/4] RUN make`, `#3 | cc main.c`, `#3 ✓ … 1.24 s`."""

    def __init__(self, deployment_id: str, console: Console) -> None:
        self._deployment_id = deployment_id
        self._console = console
        self._colours = console.is_terminal and not console.no_color
        self._names: dict[str, str] = {}
        self._shown: dict[str, _Shown] = {}

    def know(self, steps: Iterable[BuildStep]) -> None:
        self._names.update((step.step_id, step.name) for step in steps)

    def line(self, line: BuildLogLine) -> None:
        if line.step_id not in self._shown and line.step_id in self._names:
            number = self._of(line.step_id).number
            self._say(Text(f"#{number} {_in_one_line(self._names[line.step_id])}", "bold"))
        self._print(self._of(line.step_id), line.message)

    def ended(self, step: BuildStep) -> None:
        shown = self._of(step.step_id)
        self._print(shown, "", last=True)
        mark, style = (terminal.FAILED, "bold red") if step.error else (terminal.DONE, "green")
        said = Text(f"#{shown.number} ").append(f"{mark} {_in_one_line(step.name)}", style)
        took = "cached" if step.cached else terminal.duration(_duration_ms(step))
        self._say(said.append(f"   {took}", "dim"))
        if step.error:
            self._say(Text(f"#{shown.number}   {_in_one_line(step.error)}", "red"))

    def close(self, status: str) -> None:
        for shown in self._shown.values():
            self._print(shown, "", last=True)
        if not self._shown:
            print(f"no build of {self._deployment_id} has left a step or a line; the deployment is {status}")

    def _of(self, step_id: str) -> _Shown:
        return self._shown.setdefault(step_id, _Shown(len(self._shown) + 1))

    def _print(self, shown: _Shown, chunk: str, *, last: bool = False) -> None:
        for line in shown.lines(chunk, last=last):
            print(f"#{shown.number} | {cleaned(line, colours=self._colours)}".rstrip(" "))

    def _say(self, text: Text) -> None:
        self._console.print(text, soft_wrap=True)


def cleaned(line: str, *, colours: bool) -> str:
    """Take out of a line whatever a terminal would act upon, but tabs and, where they are wanted, colours."""
    kept = _ACTED_UPON.sub(lambda found: (found["colour"] or "") if colours else "", line)
    return kept + _PLAIN if "\x1b" in kept else kept


def _in_one_line(text: str) -> str:
    return cleaned(" ".join(text.split()), colours=False)


def _step(step: BuildStep) -> dict[str, Any]:
    return asdict(step) | {"duration_ms": _duration_ms(step)}


def _duration_ms(step: BuildStep) -> int:
    return max(step.completed_at_ms - step.started_at_ms, 0)
