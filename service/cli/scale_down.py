"""`hydra-deploy scale-down`: previews that nobody called for a while are put to standby."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from rich.table import Table
from rich.text import Text

from service.app.analytics import open_request_log
from service.cli import interrupt, terminal
from service.cli.attendance import attend
from service.cli.connection import connected
from service.cli.options import AsJson, Config, DryRun, Grpc, settings_from
from service.cli.server import client_of
from service.cli.survey import Fate, Surveyed, survey
from service.clock import now_ms
from service.config import Settings
from service.config.values import format_duration
from service.database import history
from service.database.history import Operation


def scale_down(*, config: Config = None, grpc: Grpc = "", dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Put previews to standby that had no requests for `deploy.idle_time`, over gRPC; --dry-run lists them.

    Needs ClickHouse, with the requests that sentinels log: else nobody can tell what is idle. Ctrl-C only stops
    watching: the sweep goes on.
    """
    settings = settings_from(config)
    if dry_run:
        _show_survey(settings, interrupt.run(_survey(settings)), as_json=as_json)
        return
    operation = interrupt.run(_sweep(settings, grpc, as_json=as_json))
    if as_json:
        print(json.dumps(asdict(operation) | {"duration_ms": operation.duration_ms}, indent=2, ensure_ascii=False))
    else:
        terminal.console().print(figures(operation), soft_wrap=True)


async def _sweep(settings: Settings, address: str, *, as_json: bool) -> Operation:
    async with connected(settings) as database, client_of(settings, address) as client:
        console = terminal.console(errors=as_json)
        operation_id = await attend(console, client.scale_down(), _under_way)
        return await database.read(partial(history.operation, operation_id=operation_id))


async def _under_way() -> str:
    return "the sweep is under way"


def figures(operation: Operation) -> Text:
    """Say what a sweep did, from its record."""
    detail: dict[str, Any] = operation.detail or {}
    looked_at = terminal.counted(detail.get("looked_at", 0), "preview")
    pages = terminal.counted(detail.get("pages", 0), "page")
    said = Text(f"looked at {looked_at} in {pages}, put {detail.get('stopped', 0)} to standby", "green")
    said.append(f", in {terminal.duration(operation.duration_ms or 0)}")
    if failed := detail.get("failed_pages", 0):
        said.append(f"\nleft as it is, because it could not be checked: {terminal.counted(failed, 'page')}", "yellow")
    return said


async def _survey(settings: Settings) -> list[Surveyed]:
    async with connected(settings) as database, open_request_log(settings) as requests:
        cutoff_ms = now_ms() - int(settings.deploy.idle_window.total_seconds() * 1000)
        return await survey(database, requests, cutoff_ms)


def _show_survey(settings: Settings, found: Sequence[Surveyed], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([asdict(preview) for preview in found], indent=2, ensure_ascii=False))
        return
    console = terminal.console()
    if found:
        console.print(table(found, format_duration(settings.deploy.idle_window)))
    idle = sum(preview.fate is Fate.IDLE for preview in found)
    console.print(f"{idle} of {terminal.counted(len(found), 'running preview')} would be put to standby", style="bold")


def table(found: Sequence[Surveyed], idle_time: str) -> Table:
    """Lay out what would become of each running preview."""
    words = {
        Fate.IDLE: Text(f"idle: no requests for {idle_time}, would be put to standby", "cyan"),
        Fate.ACTIVE: Text(f"active: had requests within {idle_time}", "green"),
        Fate.LIVE: Text("not looked at: it is live", "dim"),
        Fate.RECENT: Text(f"not looked at: changed within {idle_time}", "dim"),
    }
    grid = terminal.grid(3)
    for preview in found:
        grid.add_row(preview.deployment_id, preview.app, words[preview.fate])
    return grid
