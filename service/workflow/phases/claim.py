"""Before the phases: one operation at a time works on a deployment (02 · 7)."""

from dataclasses import dataclass

from restate import TerminalError
from restate.serde import BytesSerde
from sqlalchemy.ext.asyncio import AsyncConnection

from service.clock import now_ms
from service.database import attempts, deployments, steps
from service.database.attempts import Attempt, AttemptState
from service.domain.deployment import Status
from service.durable.journal import Journal
from service.durable.terminal import from_terminal, is_cancellation
from service.workflow.runtime import Runtime


@dataclass(frozen=True)
class Claim:
    """Who works on the deployment; `done` where nothing is left to do."""

    holder: str
    done: bool = False


async def claim(journal: Journal, runtime: Runtime, deployment_id: str) -> bool:
    """Claim the deployment for this operation; False where another one has done the work.

    While another operation holds the claim this waits for its end and shares its result. One that died without
    an orderly end (killed, or purged) is replaced. Raises NotFound, and what the other operation failed with.
    """
    dead = ""
    while True:
        wanted = _Wanted(deployment_id, journal.operation_id, dead)
        claimed = await _try(journal, runtime, wanted)
        if claimed.done or claimed.holder == journal.operation_id:
            return not claimed.done
        if await _ended_in_order(journal, claimed.holder):
            return False
        dead = claimed.holder


async def _ended_in_order(journal: Journal, holder: str) -> bool:
    """Wait for another operation; False where it was killed or is unknown, which carries no error of ours."""
    try:
        await journal.ctx.attach_invocation(holder, serde=BytesSerde())
    except TerminalError as error:
        if error.metadata or is_cancellation(error):
            raise from_terminal(error) from None
        return False
    return True


@dataclass(frozen=True)
class _Wanted:
    deployment_id: str
    operation_id: str
    dead: str


async def _try(journal: Journal, runtime: Runtime, wanted: _Wanted) -> Claim:
    async def work(conn: AsyncConnection) -> Claim:
        return await _claim(conn, wanted)

    return await journal.step("claim deployment", Claim, lambda: runtime.database.transact(work))


async def _claim(conn: AsyncConnection, wanted: _Wanted) -> Claim:
    if not await deployments.lock(conn, wanted.deployment_id):
        raise deployments.deployment_not_found(wanted.deployment_id)
    newest = await attempts.newest(conn, wanted.deployment_id, lock=True)
    if newest is not None and _holds(newest, wanted):
        return Claim(newest.operation_id)
    status = await deployments.status(conn, wanted.deployment_id)
    if status == Status.READY:
        return Claim(wanted.operation_id, done=True)
    number = 1 if newest is None else newest.number + 1
    attempt = Attempt(number, wanted.operation_id, AttemptState.RUNNING)
    await attempts.claim(conn, wanted.deployment_id, attempt, now_ms())
    if number > 1 or status == Status.FAILED:  # the first of ours may follow one of an earlier worker's
        await steps.forget(conn, wanted.deployment_id)
    return Claim(wanted.operation_id)


def _holds(newest: Attempt, wanted: _Wanted) -> bool:
    if newest.operation_id == wanted.operation_id:
        return True
    return newest.state == AttemptState.RUNNING and newest.operation_id != wanted.dead
