"""`hydra-deploy releases`: which releases of workers Restate knows, and which of them may go."""

import json
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from service import log
from service.app.reconciling import open_admin
from service.app.releases import drain, remove_drained, under_way
from service.cli import interrupt, terminal
from service.cli.options import AsJson, Config, duration, settings_from
from service.config import Settings
from service.durable.releases import Release, Verdict
from service.durable.releases import releases as list_releases

_STYLES = {Verdict.SERVING: "green", Verdict.DRAINING: "cyan", Verdict.STUCK: "red", Verdict.DRAINED: "dim"}


def releases(
    *,
    config: Config = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until releases that serve nothing have nothing in flight.")
    ] = False,
    timeout: Annotated[timedelta, typer.Option(parser=duration, metavar="DURATION", help="How long --wait waits.")] = (
        "10m"  # type: ignore[assignment] # what the parser reads
    ),
    remove: Annotated[
        bool,
        typer.Option(
            "--remove-drained", help="Take those out of Restate that are drained, and whose worker is stopped."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the releases of workers at Restate, what is in flight on each, and whether its worker may be stopped.

    With --wait the exit code is 1 where something is still in flight on an old one at the end.
    """
    settings = settings_from(config)
    log.configure("error", "text")  # a failure is the command's own line
    within = timeout if wait else None
    found, removed = interrupt.run(_work(settings, within, terminal.console(errors=True), remove=remove))
    if as_json:
        print(json.dumps([document(each, removed) for each in found], indent=2))
    elif found:
        terminal.console().print(table(found, removed))
    else:
        print("no worker is registered at Restate")
    if wait and under_way(found):
        raise typer.Exit(1)


async def _work(
    settings: Settings, within: timedelta | None, console: Console, *, remove: bool
) -> tuple[list[Release], set[str]]:
    async with open_admin(settings) as admin:
        found = await (drain(admin, within, partial(_tell, console)) if within is not None else list_releases(admin))
        removed = await remove_drained(admin, found) if remove else []
        return found, {each.deployment.id for each in removed}


def _tell(console: Console, left: Sequence[Release]) -> None:
    for each in left:
        console.print(f"{each.deployment.uri}: {each.verdict}, {each.count} in flight", style="dim", soft_wrap=True)


def document(release: Release, removed: set[str]) -> dict[str, Any]:
    """Write a release as JSON (docs/command-line.md)."""
    deployment = release.deployment
    return {
        "id": deployment.id,
        "uri": deployment.uri,
        "release": deployment.release or None,
        "registered_at_ms": deployment.created_at_ms,
        "verdict": release.verdict,
        "answers": release.answers,
        "serves": list(release.serves),
        "in_flight": [
            {"service": each.service, "handler": each.handler, "status": each.status, "count": each.count}
            for each in release.in_flight
        ],
        "removed": deployment.id in removed,
    }


def table(found: Sequence[Release], removed: set[str]) -> Table:
    """Lay releases out, each with what is in flight on it below."""
    grid = terminal.grid(3)
    for release in found:
        deployment = release.deployment
        is_removed = deployment.id in removed
        grid.add_row(
            Text("removed" if is_removed else release.verdict, "dim" if is_removed else _STYLES[release.verdict]),
            deployment.uri,
            said(release),
        )
        registered = f"  {deployment.id}, registered {terminal.moment(deployment.created_at_ms)}"
        grid.add_row("", Text(registered, "dim"))
        for each in release.in_flight:
            handler = f"{each.service.removeprefix('hydra.v1.')}/{each.handler}"
            grid.add_row("", Text(f"  {each.count} {each.status}: {handler}", "dim"))
    return grid


def said(release: Release) -> str:
    """Say what a release does, and what to do about it."""
    away = "" if release.answers else ", and nobody answers there"
    in_flight = f"{release.count} in flight"
    match release.verdict:
        case Verdict.SERVING:
            return f"serves {terminal.counted(len(release.serves), 'service')}, {in_flight}{away}"
        case Verdict.DRAINING:
            return f"{in_flight}: keep its worker"
        case Verdict.STUCK:
            return f"{in_flight}{away}: start its worker again"
        case Verdict.DRAINED:
            return f"nothing in flight{away}: {_farewell(release)}"


def _farewell(release: Release) -> str:
    """Say what is left to be done about a release that is drained."""
    if not release.deployment.release:
        return "it is another program's"
    return "its worker may be stopped" if release.answers else "it may be removed with --remove-drained"
