"""The worker and the Restate server killed in every journaled step of every flow: 06 · L5, L6, B5, T10, T11 and X3.

A step is killed before its action, during it (before each COMMIT that it sends, and after each thing that GitHub or the
builder did for it, before the answer; where there is neither, as soon as it waits), and between its end and its journal
entry. The steps are those that the journals of an undisturbed run hold. Then Restate forgets the run, and the same call
comes again under its idempotency key: nothing may change.

All of it with HYDRA_TEST_FULL=1, each fault in a run of its own; else every step once, at one of its points, several in
a run, and a few for Restate.
"""

import os
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.chaos.crashes.aim import Fault, Spot
from tests.chaos.crashes.flows import FLOWS
from tests.chaos.crashes.matrix import POINTS, VICTIMS, Cell
from tests.chaos.crashes.scene import Flow
from tests.chaos.crashes.site import CrashSite
from tests.chaos.crashes.trial import NeverMet, Outcome, Step, survey, trial

FULL = bool(os.environ.get("HYDRA_TEST_FULL"))

Record = Callable[[str, object], None]
Aimed = tuple[Step, str, str, Fault]

_FAULTS_IN_A_RUN = 3
_TRIES = 6
_OF_RESTATE = 7  # every so many steps, in the short mode
_PROCESSES = 2  # of a parallel run, each with an installation of its own


def every_fault(steps: list[Step]) -> Iterator[list[Aimed]]:
    """Aim at all points of all steps, for both victims, each in a run of its own."""
    for victim in VICTIMS:
        for step in steps:
            for point in POINTS:
                for spot, number in step.spots(point):
                    yield [(step, victim, point, Fault(step.place, spot, number, victim == "worker"))]


def some_faults(steps: list[Step], turn: int) -> Iterator[list[Aimed]]:
    """Aim at each step once, at its points in rotation, several steps in a run; and at a few for Restate."""
    aimed = [_in_rotation(step, "worker", turn + number) for number, step in enumerate(steps)]
    asked = [one for one in aimed if one[3].spot is Spot.ASKED]
    others = [one for one in aimed if one[3].spot is not Spot.ASKED]
    for kind in (asked, others):
        runs = -(-len(kind) // _FAULTS_IN_A_RUN)
        # Far apart: the more often one invocation fails, the longer Restate waits before it tries again.
        yield from (kind[first::runs] for first in range(runs))
    for number, step in list(enumerate(steps))[turn % _OF_RESTATE :: _OF_RESTATE]:
        yield [_in_rotation(step, "Restate", turn + number)]


def _in_rotation(step: Step, victim: str, turn: int) -> Aimed:
    point = POINTS[turn % len(POINTS)]
    spots = step.spots(point)
    spot, count = spots[turn % len(spots)]
    return step, victim, point, Fault(step.place, spot, count, victim == "worker")


def _flows() -> Iterator[Any]:
    for number, flow in enumerate(FLOWS):
        group = pytest.mark.xdist_group(f"chaos-crashes-{number % _PROCESSES}")
        yield pytest.param(flow, id=flow.name, marks=group)


@pytest.mark.timeout(7200 if FULL else 900)
@pytest.mark.parametrize("flow", [*_flows()])
async def test_a_crash_leaves_what_an_undisturbed_run_leaves(
    crashing: CrashSite, flow: Flow, record_property: Record
) -> None:
    await crashing.configure(flow.settings)
    undisturbed, steps = await survey(crashing, flow)
    assert undisturbed.faults == []
    failures: list[str] = []
    for aimed in every_fault(steps) if FULL else some_faults(steps, FLOWS.index(flow)):
        failures += await _crash(crashing, flow, aimed, undisturbed, record_property)
    assert not failures, "\n".join(failures)


async def _crash(
    site: CrashSite, flow: Flow, aimed: list[Aimed], undisturbed: Outcome, record_property: Record
) -> list[str]:
    # Which of two rows of a comment comes first is not told, and the older one's changes nothing if it is the second.
    differences: list[str] = []
    for _ in range(_TRIES):
        try:
            differences = await trial(site, flow, [fault for *_, fault in aimed], undisturbed)
            break
        except NeverMet as never:
            differences = [str(never)]
    for step, victim, point, _ in aimed:
        record_property("crash", list(Cell(flow.name, _name(step), victim, point, not differences)))
    what = "; ".join(f"{victim} at {_name(step)} {fault.spot} {fault.number}" for step, victim, _, fault in aimed)
    failures = [f"{flow.name}: {what}: {one}" for one in differences]
    for failure in failures:
        print(f"\n{failure}")  # noqa: T201 - the full mode runs for long
    return failures


def _name(step: Step) -> str:
    """Name a step in the matrix: its handler, whose object, and which of several."""
    place = step.place
    service = place.service.rpartition(".")[2]
    again = f" ({place.nth + 1})" if place.nth else ""
    of = f" of {key}" if (key := re.sub("[<>]", "", place.key)) else ""
    return f"{service}/{place.handler}{of}: {place.step}{again}"
