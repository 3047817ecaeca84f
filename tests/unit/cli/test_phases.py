import io
from dataclasses import replace

import pytest
from rich.console import Console

from service.cli.phases import Line, PlainView, lines
from service.database.overview import Progress, RegionState, StepRun

STARTING = StepRun("starting", 1000, 1012, None)
DEPLOYING = StepRun("deploying", 1012, None, None)


def region(name: str, desired: int = 1, **instances: int) -> RegionState:
    return RegionState(f"rgn_{name}", name, desired, "running", 1, instances)


def test_phases_that_ended_run_and_are_to_come() -> None:
    progress = Progress("deploying", (STARTING, DEPLOYING), (region("a", 2, running=1, pending=1), region("b")))
    assert lines(progress, 1512) == [
        Line("✓", "starting", "12 ms"),
        Line("·", "building"),
        Line("…", "deploying", "500 ms", "a 1/2  b 0/1"),
        Line("·", "network"),
        Line("·", "finalizing"),
    ]


def test_a_failed_deployment_has_nothing_to_come() -> None:
    failed = StepRun("deploying", 1012, 4012, "too few regions")
    assert [(line.mark, line.phase) for line in lines(Progress("failed", (STARTING, failed), ()), 5000)] == [
        ("✓", "starting"),
        ("✗", "deploying"),
    ]


def test_many_regions_are_counted_instead_of_named() -> None:
    regions = (*(region(f"up{number}", running=1) for number in range(4)), region("down", 2, running=1))
    (line,) = [line for line in lines(Progress("deploying", (DEPLOYING,), regions), 2000) if line.note]
    assert line.note == "4 of 5 regions up"


def test_a_step_that_seems_to_start_in_the_future_has_taken_no_time() -> None:
    (line,) = [line for line in lines(Progress("deploying", (DEPLOYING,), ()), 900) if line.phase == "deploying"]
    assert line.duration == "0 ms"


@pytest.fixture
def paper() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def view(paper: io.StringIO) -> PlainView:
    return PlainView(Console(file=paper, width=160))


def test_without_a_terminal_each_phase_is_one_line_when_it_ends(view: PlainView, paper: io.StringIO) -> None:
    view.show(Progress("pending", (), ()), 1000)
    view.show(Progress("deploying", (STARTING, DEPLOYING), (region("a"),)), 1100)
    view.show(Progress("deploying", (STARTING, DEPLOYING), (region("a", running=1),)), 1500)
    ended = replace(DEPLOYING, ended_at_ms=1512)
    for at_ms in (1600, 9000):
        view.show(Progress("ready", (STARTING, ended), (region("a", running=1),)), at_ms)
    assert paper.getvalue() == "  ✓ starting       12 ms\n  ✓ deploying     500 ms   a 1/1\n"


def test_without_a_terminal_a_long_wait_says_what_has_changed(view: PlainView, paper: io.StringIO) -> None:
    for at_ms, running in ((1012, 0), (2012, 0), (3012, 0), (6012, 0), (9012, 1), (9112, 2)):
        view.show(Progress("deploying", (DEPLOYING,), (region("a", 2, running=running),)), at_ms)
    finalizing = StepRun("finalizing", 9200, None, None)
    view.show(Progress("finalizing", (finalizing,), ()), 9300)
    view.show(Progress("finalizing", (finalizing,), ()), 12_000)
    assert paper.getvalue().splitlines() == [
        "  … deploying     2.00 s   a 0/2",
        "  … deploying     8.00 s   a 1/2",
        "  … finalizing    2.80 s",
    ]
