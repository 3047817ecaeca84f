"""`hydra-deploy logs`: what a deployment's build did, step by step and line by line."""

import asyncio
import sys
from collections import deque
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from operator import attrgetter
from typing import Annotated

import typer

from service.analytics.build_history import BuildTail
from service.app.analytics import open_build_history
from service.cli import interrupt, terminal
from service.cli.build_log import JsonDocument, JsonLines, TextLog, View
from service.cli.connection import connected
from service.cli.options import Config, settings_from
from service.config import Settings
from service.database import deployments
from service.database.engine import Database
from service.domain.build import BuildOf
from service.domain.deployment import Status

_POLL = timedelta(seconds=1)
_LAST_ROWS = timedelta(seconds=4)  # after a build's end: the worker's interval of 2 s, and the insert
_NOT_BUILT_YET = frozenset({Status.PENDING, Status.STARTING, Status.BUILDING})


def logs(
    *,
    deployment: Annotated[str, typer.Argument(metavar="DEPLOYMENT", help="The deployment's id.", show_default=False)],
    config: Config = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the build has ended.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document; with --follow, one to a line as things come.")
    ] = False,
) -> None:
    """Show the steps of a deployment's build and what they wrote, in time order; those of every attempt.

    Needs ClickHouse, where builds leave them. Steps come when the build has ended, lines after two seconds or so.
    """
    view = _view(deployment, follow=follow, as_json=as_json)
    interrupt.run(_show(settings_from(config), deployment, view, follow=follow))


def _view(deployment_id: str, *, follow: bool, as_json: bool) -> View:
    if as_json:
        return JsonLines(deployment_id) if follow else JsonDocument(deployment_id)
    return TextLog(deployment_id, terminal.console())


async def _show(settings: Settings, deployment_id: str, view: View, *, follow: bool) -> None:
    async with open_build_history(settings) as history, connected(settings) as database:
        subject = await database.read(partial(deployments.subject, deployment_id=deployment_id))
        tail = BuildTail(history, BuildOf(subject.workspace_id, subject.project_id, deployment_id))
        if follow:
            await Follower(database, deployment_id).follow(tail, view)
        else:
            await look(tail, view)
        status = await database.read(partial(deployments.status, deployment_id=deployment_id))
        view.close(status or "gone")


async def look(tail: BuildTail, view: View) -> None:
    """Show what is new, lines and ends of steps in the order in which they happened."""
    steps = await tail.steps()
    view.know(steps)
    ends = deque(sorted(steps, key=attrgetter("completed_at_ms")))
    async for lines in tail.lines():
        for line in lines:
            while ends and ends[0].completed_at_ms < line.time_ms:
                view.ended(ends.popleft())
            view.line(line)
    for step in ends:
        view.ended(step)


@dataclass(frozen=True)
class Follower:
    """Looks again and again until a deployment's build has ended and its last rows have had time to arrive."""

    database: Database
    deployment_id: str
    poll: timedelta = _POLL
    last_rows: timedelta = _LAST_ROWS

    async def follow(self, tail: BuildTail, view: View) -> None:
        """Return after a look that saw all there will be."""
        clock = asyncio.get_running_loop().time
        over_at: float | None = None
        settled = False
        while not settled:
            if over_at is None and await self._is_over():
                over_at = clock()
            settled = over_at is not None and clock() - over_at >= self.last_rows.total_seconds()
            await look(tail, view)
            sys.stdout.flush()
            if not settled:
                await asyncio.sleep(self.poll.total_seconds())

    async def _is_over(self) -> bool:
        status = await self.database.read(partial(deployments.status, deployment_id=self.deployment_id))
        return status not in _NOT_BUILT_YET
