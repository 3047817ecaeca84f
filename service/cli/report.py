"""One deployment on paper: as text for people, as JSON for programs (docs/command-line.md)."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from service.cli import phases, terminal
from service.database.operations import OperationState
from service.database.overview import OperationRecord, Overview, Progress, RegionState, RouteState
from service.domain.deployment import Status

_STYLES: dict[str, str] = {Status.READY: "bold green", Status.FAILED: "bold red"}
_UNDER_WAY = "bold cyan"


def document(seen: Overview) -> str:
    """Write everything of a deployment as JSON."""
    document: dict[str, Any] = asdict(seen)
    document["steps"] = [asdict(step) | {"duration_ms": step.duration_ms} for step in seen.steps]
    return json.dumps(document, indent=2, ensure_ascii=False)


def page(seen: Overview, at_ms: int) -> RenderableType:
    """Lay everything of a deployment out as text, as of a moment."""
    return Group(*_parts(seen, at_ms))


def urls(routes: tuple[RouteState, ...]) -> Table:
    """List the addresses that lead to a deployment, with what each of them follows."""
    grid = terminal.grid(2)
    for route in routes:
        if route.points_here:
            grid.add_row(f"  https://{route.fqdn}", Text(route.sticky, "dim"))
    return grid


def took(record: OperationRecord | None) -> str:
    """Say how long an operation took, as ` in 1.2 s`; nothing of one that has not ended."""
    if record is None or record.ended_at_ms is None:
        return ""
    return f" in {terminal.duration(record.ended_at_ms - record.started_at_ms)}"


def _parts(seen: Overview, at_ms: int) -> Iterator[RenderableType]:
    yield _heading(seen)
    yield _facts(seen)
    if seen.steps:
        yield Text("\nphases", "bold")
        yield phases.table(phases.lines(Progress(seen.status, seen.steps, seen.regions), at_ms), at_ms)
        yield from (Text(f"    {step.step}: {step.error}", "red") for step in seen.steps if step.error)
    if seen.regions:
        yield Text("\nregions", "bold")
        yield _regions(seen.regions)
    if seen.routes:
        yield Text("\nroutes", "bold")
        yield _routes(seen.routes)
    if seen.operation:
        yield Text("\noperation", "bold")
        yield from _operation(seen.operation)


def _heading(seen: Overview) -> Text:
    heading = Text(seen.deployment_id, "bold").append("  ")
    heading.append(seen.status, _STYLES.get(seen.status, _UNDER_WAY))
    return heading.append("  live" if seen.is_live else "", "green")


def _facts(seen: Overview) -> Table:
    grid = terminal.grid(2)
    of = "/".join(slug or "?" for slug in (seen.workspace, seen.project, seen.app))
    grid.add_row("  app", f"{of}, {seen.environment or '?'}")
    grid.add_row("  image", seen.image or "not known yet")
    if seen.git_commit_sha or seen.git_branch:
        commit = (seen.git_commit_sha or "")[:12]
        grid.add_row("  commit", f"{commit} on {seen.git_branch}" if seen.git_branch else commit)
    grid.add_row("  desired", seen.desired_state)
    grid.add_row("  created", terminal.moment(seen.created_at_ms))
    grid.add_row("  attempt", str(seen.attempt) if seen.attempt else "none yet")
    grid.columns[0].style = "dim"
    return grid


def _regions(regions: tuple[RegionState, ...]) -> Table:
    grid = terminal.grid(3)
    for region in regions:
        wanted = (
            "stopped" if region.desired_status == "stopped" else terminal.counted(region.desired_replicas, "replica")
        )
        there = ", ".join(f"{count} {status}" for status, count in sorted(region.instances.items()))
        grid.add_row(f"  {region.name}", wanted, there or "no instances")
    return grid


def _routes(routes: tuple[RouteState, ...]) -> Table:
    grid = terminal.grid(3)
    for route in routes:
        leads = Text("here", "green") if route.points_here else Text(f"to {route.deployment_id}", "dim")
        grid.add_row(f"  https://{route.fqdn}", Text(route.sticky, "dim"), leads)
    return grid


def _operation(record: OperationRecord) -> Iterator[RenderableType]:
    by = f", called by {record.caller}" if record.caller else ""
    yield Text(f"  {record.id}  {record.kind} {record.state}{took(record)}{by}")
    if record.state in (OperationState.FAILED, OperationState.CANCELLED):
        yield Text(f"  {record.message} [{record.reason}]", "red")
    for region, why in ((record.detail or {}).get("unhealthy_regions") or {}).items():
        yield Text(f"  went on without {region}: {why}", "yellow")
