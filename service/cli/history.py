"""`hydra-deploy history`: what was live in an app, since when, and why."""

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
from service.database import history as record
from service.database import places
from service.database.history import Turn
from service.database.places import WantedApp


def history(  # noqa: PLR0913 - one per option
    *,
    app: Annotated[str, typer.Argument(metavar="APP", help="The app, by slug or id.", show_default=False)],
    config: Config = None,
    project: Project = "",
    workspace: Workspace = "",
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """Show what was live in an app and why: deploys to production, rollbacks and promotions, newest first."""
    wanted = WantedApp(app=app, project=project, workspace=workspace)
    path, turns = interrupt.run(_read(settings_from(config), wanted, limit))
    if as_json:
        print(json.dumps([asdict(turn) for turn in turns], indent=2, ensure_ascii=False))
    elif turns:
        terminal.console().print(table(turns))
    else:
        print(f"nothing was ever live in {path}")


async def _read(settings: Settings, wanted: WantedApp, limit: int) -> tuple[str, list[Turn]]:
    async with connected(settings) as database:
        app_id, path = await database.read(partial(places.find_app, wanted=wanted))
        return path, await database.read(partial(record.turns, app_id=app_id, limit=limit))


def table(turns: Sequence[Turn]) -> Table:
    """Lay switches of traffic out, one to a line."""
    grid = terminal.grid(5)
    for turn in turns:
        grid.add_row(
            terminal.moment(turn.switched_at_ms),
            turn.kind,
            _live(turn),
            Text(", ".join(_notes(turn)), "yellow"),
            Text(f"by {turn.caller}" if turn.caller else "", "dim"),
        )
    return grid


def _live(turn: Turn) -> str:
    """Say what is live since then, and instead of what."""
    if turn.from_deployment_id == turn.live_deployment_id:
        return turn.live_deployment_id or "nothing"
    return f"{turn.from_deployment_id or 'nothing'} → {turn.live_deployment_id or 'nothing'}"


def _notes(turn: Turn) -> list[str]:
    """Say what the change of the live deployment does not tell."""
    notes = []
    if turn.kind == "deploy" and turn.live_deployment_id != turn.deployment_id:
        why = "rolled back" if turn.is_rolled_back else "a newer one is live"
        notes.append(f"{turn.deployment_id} stays unrouted: {why}")
    elif turn.kind == "promote" and turn.from_deployment_id == turn.live_deployment_id:
        notes.append("confirms the rollback")
    elif turn.is_rolled_back:
        notes.append("rolled back")
    if turn.reverted_at_ms is not None:
        notes.append(f"reverted at {terminal.moment(turn.reverted_at_ms)}")
    return notes
