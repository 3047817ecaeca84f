"""A deploy's phases as they happen: a table that changes on a terminal, a line per phase anywhere else."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from service.cli import terminal
from service.database.overview import Progress, RegionState, StepRun
from service.domain.deployment import Status, Step
from service.domain.health import InstanceStatus

_PHASES = tuple(step for step in Step if step is not Step.QUEUED)
_REGIONS_NAMED = 4
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_SPIN_MS = 100
_QUIET_MS = 2000
_STYLES = {terminal.DONE: "green", terminal.FAILED: "red", terminal.RUNNING: "cyan", terminal.WAITING: "dim"}


class View(Protocol):
    """What shows progress as of a moment; told of it several times a second."""

    def show(self, progress: Progress, at_ms: int) -> None: ...


@contextmanager
def phases(console: Console) -> Iterator[View]:
    """Show a deploy's phases while the block lasts."""
    if not console.is_terminal:
        yield PlainView(console)
        return
    with Live(console=console, auto_refresh=False) as live:
        yield _LiveView(live)


@dataclass(frozen=True)
class Line:
    """What is said of one phase."""

    mark: str
    phase: str
    duration: str = ""
    note: str = ""


def lines(progress: Progress, at_ms: int) -> list[Line]:
    """Describe every phase as of a moment, in order; those to come too, unless the deployment is at its end."""
    runs = {run.step: run for run in progress.steps}
    over = progress.status in (Status.READY, Status.FAILED)
    described = []
    for phase in _PHASES:
        if run := runs.get(phase):
            note = regions_note(progress.regions) if phase is Step.DEPLOYING else ""
            described.append(_line(run, at_ms, note))
        elif not over:
            described.append(Line(terminal.WAITING, phase))
    return described


def table(described: list[Line], at_ms: int) -> Table:
    """Lay the lines out for a terminal."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column()
    grid.add_column(min_width=max(len(phase) for phase in _PHASES))
    grid.add_column(justify="right", min_width=len("00.00 s"))
    grid.add_column(style="dim")
    for line in described:
        mark = _SPINNER[at_ms // _SPIN_MS % len(_SPINNER)] if line.mark == terminal.RUNNING else line.mark
        faint = "dim" if line.mark == terminal.WAITING else ""
        grid.add_row(Text(f"  {mark}", _STYLES[line.mark]), Text(line.phase, faint), line.duration, line.note)
    return grid


class _LiveView:
    def __init__(self, live: Live) -> None:
        self._live = live

    def show(self, progress: Progress, at_ms: int) -> None:
        self._live.update(table(lines(progress, at_ms), at_ms), refresh=True)


class PlainView:
    """A line for each phase that ended, and for one that takes long, again with each change in its regions."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._ended: set[str] = set()
        self._said = ("", "")
        self._said_ms: int | None = None

    def show(self, progress: Progress, at_ms: int) -> None:
        if self._said_ms is None:
            self._said_ms = at_ms
        for line in lines(progress, at_ms):
            if line.mark == terminal.WAITING or line.phase in self._ended:
                continue
            if line.mark != terminal.RUNNING:
                self._ended.add(line.phase)
            elif (line.phase, line.note) == self._said or at_ms - self._said_ms < _QUIET_MS:
                continue
            self._say(line, at_ms)

    def _say(self, line: Line, at_ms: int) -> None:
        self._said, self._said_ms = (line.phase, line.note), at_ms
        said = f"  {line.mark} {line.phase:<10} {line.duration:>9}   {line.note}"
        self._console.print(said.rstrip(), soft_wrap=True)


def _line(run: StepRun, at_ms: int, note: str) -> Line:
    if run.error is not None:
        return Line(terminal.FAILED, run.step, terminal.duration(run.duration_ms or 0), note)
    if run.duration_ms is None:
        # Other clocks wrote the start: it may lie ahead.
        return Line(terminal.RUNNING, run.step, terminal.duration(max(at_ms - run.started_at_ms, 0)), note)
    return Line(terminal.DONE, run.step, terminal.duration(run.duration_ms), note)


def regions_note(regions: tuple[RegionState, ...]) -> str:
    """Say how many replicas run, region by region where there are few."""
    said = [(region, region.instances.get(InstanceStatus.RUNNING, 0)) for region in regions]
    if len(regions) <= _REGIONS_NAMED:
        return "  ".join(f"{region.name} {running}/{region.desired_replicas}" for region, running in said)
    up = sum(running >= region.desired_replicas for region, running in said)
    return f"{up} of {len(regions)} regions up"
