"""Moving traffic to a deployment that was ready before, or finding out what that would do: `rollback` and `promote`."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from grpc import StatusCode
from rich.console import Console
from sqlalchemy.ext.asyncio import AsyncConnection

from service.cli import outcome, terminal
from service.cli.attendance import attend
from service.cli.options import ConfigPath
from service.cli.outcome import Outcome, RouteMove
from service.cli.phases import regions_note
from service.cli.program import command_line
from service.database import deployments, history, overview, switches
from service.database.deployments import Subject
from service.database.engine import Database
from service.domain.deployment import DesiredState
from service.errors import NotFound
from service.routing.plan import Plan
from service.routing.switch import Kind
from service.rpc.client import Accept, DeployClient
from service.rpc.failure import CallFailed


@dataclass(frozen=True)
class Errand:
    """What somebody wants of the target: how to plan it, and how to have it done; that returns the operation's id."""

    kind: Kind
    target_id: str
    plan: Callable[[AsyncConnection], Awaitable[Plan]]
    call: Callable[[DeployClient, Accept], Coroutine[Any, Any, str]]


@dataclass(frozen=True)
class Manner:
    """How it is to be done and told; `client` makes the one that calls."""

    client: Callable[[], DeployClient]
    standby_delay: timedelta
    config: ConfigPath = None
    dry_run: bool = False
    as_json: bool = False


async def run(database: Database, errand: Errand, manner: Manner) -> None:
    """Do the errand, or plan it, and print the outcome. Raises HydraError."""
    console = terminal.console(errors=manner.as_json)
    if manner.dry_run:
        found = _planned(errand.kind, await database.read(errand.plan))
    else:
        found = await _perform(console, database, errand, manner)
    if manner.as_json:
        print(outcome.document(found, manner.standby_delay))
    else:
        console.print(outcome.page(found, manner.standby_delay), soft_wrap=True)


async def _perform(console: Console, database: Database, errand: Errand, manner: Manner) -> Outcome:
    target = await database.read(partial(deployments.subject, deployment_id=errand.target_id))
    accepted: list[str] = []

    async def look() -> str:
        seen = await database.read(partial(overview.progress, deployment_id=errand.target_id))
        return f"waiting for {errand.target_id}: {regions_note(seen.regions)}"

    async with manner.client() as client:
        try:
            operation_id = await attend(console, errand.call(client, accepted.append), look)
        except (asyncio.CancelledError, CallFailed) as error:
            lost = isinstance(error, asyncio.CancelledError) or error.code is StatusCode.UNAVAILABLE
            if lost and accepted:
                config = ("--config", manner.config) if manner.config else ()
                line = command_line("operations", "--app", target.app_id, *config)
                console.print(f"\nthe {errand.kind} goes on; look at it with\n  {line}", soft_wrap=True)
            raise
    return await database.read(partial(_done, operation_id=operation_id, kind=errand.kind, target=target))


def _planned(kind: Kind, plan: Plan) -> Outcome:
    return Outcome(
        kind=kind,
        target=plan.target,
        live_id=plan.live_id,
        woken=plan.wakes,
        routes=[RouteMove(move.fqdn, move.previous_deployment_id, move.deployment_id) for move in plan.moved],
        standby=plan.superseded,
        held_back=plan.held_back,
    )


async def _done(conn: AsyncConnection, operation_id: str, kind: Kind, target: Subject) -> Outcome:
    """Read what was done; `target` is how it was before."""
    switch = await switches.find(conn, operation_id)
    if switch is None:
        raise NotFound(f"the operation {operation_id!r} has left no record of a switch", reason="SWITCH_NOT_FOUND")
    moves = await switches.moved_by(conn, operation_id)
    return Outcome(
        kind=kind,
        target=target,
        live_id=switch.before.current_deployment_id or "",
        woken=target.desired_state != DesiredState.RUNNING,
        routes=[RouteMove(move.fqdn, move.previous_deployment_id, move.deployment_id) for move in moves],
        standby=list(switch.result["superseded_deployment_ids"]),
        held_back=list(switch.result.get("held_back_deployment_ids", ())),
        operation=await history.operation(conn, operation_id),
    )
