"""The matrix of steps and faults: what was crashed where, and whether all was as in an undisturbed run."""

from collections.abc import Iterable
from typing import NamedTuple

POINTS = ("before", "during", "after")
VICTIMS = ("worker", "Restate")
_SHOWN = {"before": "before", "during": "during", "after": "before its entry"}


class Cell(NamedTuple):
    """One trial, or one of several for the same cell."""

    flow: str
    step: str
    victim: str
    point: str
    passed: bool


def written(cells: Iterable[Cell]) -> str:
    """Write the matrix as Markdown, a table for each flow; a cell counts the trials that passed of all."""
    of_flow: dict[str, dict[str, list[Cell]]] = {}
    for cell in cells:
        of_flow.setdefault(cell.flow, {}).setdefault(cell.step, []).append(cell)
    return "\n".join(line for flow, steps in of_flow.items() for line in _table(flow, steps))


def _table(flow: str, steps: dict[str, list[Cell]]) -> list[str]:
    columns = [(victim, point) for victim in VICTIMS for point in POINTS]
    head = [f"{victim}, {_SHOWN[point]}" for victim, point in columns]
    lines = [f"### {flow}", "", f"| step | {' | '.join(head)} |", f"| --- |{' --- |' * len(head)}"]
    for step, cells in steps.items():
        shown = [_cell([one for one in cells if (one.victim, one.point) == column]) for column in columns]
        lines.append(f"| {step} | {' | '.join(shown)} |")
    return [*lines, ""]


def _cell(trials: list[Cell]) -> str:
    if not trials:
        return "-"
    passed = sum(one.passed for one in trials)
    if passed < len(trials):
        return f"FAILED {len(trials) - passed} of {len(trials)}"
    return "ok" if len(trials) == 1 else f"ok ({len(trials)})"
