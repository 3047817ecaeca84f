"""`hydra-deploy operations`: what was asked of the service, newest first."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from service.cli import interrupt, terminal
from service.cli.connection import connected
from service.cli.options import AsJson, Config, Limit, Project, Workspace, settings_from
from service.config import Settings
from service.database import history, places
from service.database.history import Operation
from service.database.operations import OperationState
from service.database.places import WantedApp

STATE_STYLES: dict[str, str] = {
    OperationState.RUNNING: "cyan",
    OperationState.SUCCEEDED: "green",
    OperationState.FAILED: "red",
    OperationState.CANCELLED: "yellow",
}


def operations(  # noqa: PLR0913 - one per option
    *,
    config: Config = None,
    app: Annotated[str, typer.Option(help="Only those of this app, by slug or id.")] = "",
    project: Project = "",
    workspace: Workspace = "",
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """List deploys, rollbacks, promotions, sweeps and scheduled changes: who asked, and what became of it."""
    wanted = WantedApp(app=app, project=project, workspace=workspace) if app else None
    found = interrupt.run(_read(settings_from(config), wanted, limit))
    if as_json:
        print(document(found))
    elif found:
        terminal.console().print(table(found))
    else:
        print("no operations yet")


async def _read(settings: Settings, wanted: WantedApp | None, limit: int) -> list[Operation]:
    async with connected(settings) as database:
        app_id = None
        if wanted is not None:
            app_id, _ = await database.read(partial(places.find_app, wanted=wanted))
        return await database.read(partial(history.operations, app_id=app_id, limit=limit))


def document(found: Sequence[Operation]) -> str:
    """Write operations as JSON (docs/command-line.md)."""
    listed = [asdict(operation) | {"duration_ms": operation.duration_ms} for operation in found]
    return json.dumps(listed, indent=2, ensure_ascii=False)


def table(found: Sequence[Operation]) -> Table:
    """Lay operations out, one to a line, with a second line for the reason of a failure."""
    grid = terminal.grid(7)
    grid.columns[3].justify = "right"
    for operation in found:
        took = "" if operation.duration_ms is None else terminal.duration(operation.duration_ms)
        grid.add_row(
            terminal.moment(operation.started_at_ms),
            operation.kind,
            Text(operation.state, STATE_STYLES.get(operation.state, "")),
            took,
            operation.app or "",
            subject(operation),
            Text(" by ".join(part for part in (operation.id, operation.caller) if part), "dim"),
        )
        if operation.reason:
            grid.add_row("", "", Text(operation.reason, "red"))
    return grid


def subject(operation: Operation) -> str:
    """Say what an operation was about: `from → to`, or the deployment, or a sweep's figures."""
    source, target = operation.from_deployment_id, operation.to_deployment_id
    if target and source and source != target:
        return f"{source} → {target}"
    detail = operation.detail or {}
    if "looked_at" in detail:
        return f"{detail['stopped']} of {detail['looked_at']} stopped"
    said = target or operation.deployment_id or ""
    return f"{said} to {detail['desired_state']}" if "desired_state" in detail else said
