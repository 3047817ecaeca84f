"""What a rollback or a promotion did, or would do, on paper: as text for people, as JSON for programs."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from service.cli import terminal
from service.config.values import format_duration
from service.database.deployments import Subject
from service.database.history import Operation
from service.database.switches import HELD_BACK_TIMES
from service.routing.switch import Kind


@dataclass(frozen=True)
class RouteMove:
    """A host name that leads, or would lead, to another deployment."""

    fqdn: str
    from_deployment_id: str
    to_deployment_id: str


@dataclass(frozen=True)
class Outcome:
    """What became of it, or would: `live_id` was live before, and `target` is how it was before.

    Without an `operation` nothing was done. `standby` lists who goes to rest, `held_back` who does so later still.
    """

    kind: Kind
    target: Subject
    live_id: str
    woken: bool
    routes: Sequence[RouteMove]
    standby: Sequence[str]
    operation: Operation | None = None
    held_back: Sequence[str] = ()

    @property
    def path(self) -> str:
        return f"{self.target.workspace_slug}/{self.target.project_slug}/{self.target.app_slug}"

    @property
    def confirms(self) -> bool:
        """Whether a rollback to what is live was made to last."""
        return self.live_id == self.target.deployment_id


def document(outcome: Outcome, standby_delay: timedelta) -> str:
    """Write it as JSON (docs/command-line.md)."""
    document: dict[str, Any] = {
        "kind": outcome.kind,
        "dry_run": outcome.operation is None,
        "workspace": outcome.target.workspace_slug,
        "project": outcome.target.project_slug,
        "app": outcome.target.app_slug,
        "environment": outcome.target.environment_slug,
        "from_deployment_id": outcome.live_id,
        "to_deployment_id": outcome.target.deployment_id,
        "woken": outcome.woken,
        "routes": [asdict(route) for route in outcome.routes],
        "standby": list(outcome.standby),
        "held_back": list(outcome.held_back),
        "standby_delay_ms": round(standby_delay / timedelta(milliseconds=1)),
        "operation": outcome.operation and asdict(outcome.operation) | {"duration_ms": outcome.operation.duration_ms},
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def page(outcome: Outcome, standby_delay: timedelta) -> RenderableType:
    """Lay it out as text."""
    return Group(*_parts(outcome, standby_delay))


def _parts(outcome: Outcome, delay: timedelta) -> Iterator[RenderableType]:
    yield _heading(outcome)
    grid = terminal.grid(2)
    grid.columns[0].style = "dim"
    grid.add_row("  from", f"{outcome.live_id}, which is live" if outcome.operation is None else outcome.live_id)
    grid.add_row("  to", outcome.target.deployment_id + _waking(outcome))
    grid.add_row("  standby", _standby(outcome, delay))
    yield grid
    yield Text(_counted_routes(outcome), "bold")
    yield moves(outcome.routes)


def moves(routes: Sequence[RouteMove]) -> RenderableType:
    """List host names with where they led and where they lead."""
    grid = terminal.grid(2)
    for route in routes:
        grid.add_row(f"  https://{route.fqdn}", f"{route.from_deployment_id} → {route.to_deployment_id}")
    return grid


def _heading(outcome: Outcome) -> Text:
    would, did = _CONFIRMATION if outcome.confirms else _WORDS[outcome.kind]
    place = f"{outcome.path}, {outcome.target.environment_slug}"
    if outcome.operation is None:
        return Text(f"would {would}: {place}; nothing was changed", "bold cyan")
    return Text(f"{did}: {place}, in {terminal.duration(outcome.operation.duration_ms or 0)}", "bold green")


_WORDS = {
    Kind.DEPLOY: ("deploy", "deployed"),
    Kind.ROLLBACK: ("roll back", "rolled back"),
    Kind.PROMOTE: ("promote", "promoted"),
}
_CONFIRMATION = ("confirm the rollback", "rollback confirmed")


def _waking(outcome: Outcome) -> str:
    if not outcome.woken:
        return ""
    if outcome.operation is None:
        return ", which rests: it would be woken, and healthy before any route moves"
    return ", which rested: it was woken, and healthy before any route moved"


def _standby(outcome: Outcome, delay: timedelta) -> str:
    resting = [(outcome.standby, delay), (outcome.held_back, HELD_BACK_TIMES * delay)]
    if said := [f"{', '.join(ids)} after {format_duration(after)}" for ids, after in resting if ids]:
        return "; ".join(said)
    if outcome.kind is Kind.ROLLBACK:
        return f"none: {outcome.live_id} keeps running until the rollback is confirmed, or another one promoted"
    return "none"


def _counted_routes(outcome: Outcome) -> str:
    moved = "would move" if outcome.operation is None else "moved"
    return f"{terminal.counted(len(outcome.routes), 'route')} {moved}"
