"""Before the phases: one operation at a time works on a deployment, and each operation once."""

from dataclasses import dataclass
from enum import StrEnum

from restate import TerminalError
from restate.serde import BytesSerde
from sqlalchemy.ext.asyncio import AsyncConnection

from service.clock import now_ms
from service.database import attempts, deployments, operations, steps
from service.database.attempts import Attempt, AttemptState
from service.database.operations import OperationKind, OperationState
from service.domain.deployment import Status
from service.durable.journal import Journal
from service.durable.terminal import from_terminal, is_cancellation
from service.workflow import record
from service.workflow.runtime import Runtime


class Outcome(StrEnum):
    """What a call to deploy is to do: `rests` means to wake what is ready, `repeats` that it failed once already."""

    BEGUN = "begun"
    TAKEN = "taken"
    DONE = "done"
    RESTS = "rests"
    REPEATS = "repeats"


@dataclass(frozen=True)
class Claim:
    """What came of asking for the deployment, and which operation holds it, where one does."""

    outcome: Outcome
    holder: str = ""


async def claim(journal: Journal, runtime: Runtime, deployment_id: str) -> Outcome:
    """Claim the deployment for this operation, unless nothing is left to do; never returns `taken`.

    While another operation holds the claim this waits for its end and shares its result. One that died without
    an orderly end (killed, or purged) is replaced. Raises NotFound, and what the other operation failed with.
    """
    dead = ""
    while True:
        wanted = _Wanted(deployment_id, journal.operation_id, dead)
        claimed = await _try(journal, runtime, wanted)
        if claimed.outcome is not Outcome.TAKEN:
            return claimed.outcome
        if await _ended_in_order(journal, claimed.holder):
            return Outcome.DONE
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
    """The deployment and the operation that asks for it; `dead` is a holder of the claim that has died."""

    deployment_id: str
    operation_id: str
    dead: str


async def _try(journal: Journal, runtime: Runtime, wanted: _Wanted) -> Claim:
    async def work(conn: AsyncConnection) -> Claim:
        return await _claim(conn, journal, wanted)

    return await journal.step("claim deployment", Claim, lambda: runtime.database.transact(work))


async def _claim(conn: AsyncConnection, journal: Journal, wanted: _Wanted) -> Claim:
    deployment_id, operation_id = wanted.deployment_id, wanted.operation_id
    if not await deployments.lock(conn, deployment_id):
        raise deployments.deployment_not_found(deployment_id)
    newest = await attempts.newest(conn, deployment_id, lock=True)
    found = await attempts.prospect(conn, deployment_id, operation_id)
    if (ended := _earlier_end(newest, found, wanted)) is not None:
        return Claim(ended)
    if newest is not None and newest.state is AttemptState.RUNNING:
        if newest.operation_id == operation_id:
            return Claim(Outcome.BEGUN, operation_id)
        if newest.operation_id != wanted.dead:
            return Claim(Outcome.TAKEN, newest.operation_id)
    if found.status == Status.READY:
        return await _ready(conn, found, wanted)
    number = 1 if newest is None else newest.number + 1
    now = now_ms()
    await attempts.claim(conn, deployment_id, Attempt(number, operation_id, AttemptState.RUNNING), now)
    await record.begin(conn, journal, OperationKind.DEPLOY, found.belongs_to)
    if number > 1 or found.status == Status.FAILED:  # the first of ours may follow one of an earlier worker's
        await steps.forget(conn, deployment_id)
    return Claim(Outcome.BEGUN, operation_id)


async def _ready(conn: AsyncConnection, found: attempts.Prospect, wanted: _Wanted) -> Claim:
    """Say what is left to do for a deployment that is ready: one that is being woken is awaited.

    It may be this operation that wakes it, where Restate has lost the first run: that goes on.
    """
    waking = await operations.starting(conn, wanted.deployment_id)
    if not found.runs or waking == wanted.operation_id:
        return Claim(Outcome.RESTS)
    return Claim(Outcome.TAKEN, waking) if waking and waking != wanted.dead else Claim(Outcome.DONE)


def _earlier_end(newest: Attempt | None, found: attempts.Prospect, wanted: _Wanted) -> Outcome | None:
    """Tell how this operation has ended before, None where it has not.

    Restate makes an invocation's id from its idempotency key: once it has forgotten the first one, the id comes back.
    """
    if found.earlier is not None and found.earlier_deployment_id != wanted.deployment_id:
        return Outcome.REPEATS
    if found.earlier is not None and found.earlier.has_ended:
        return Outcome.DONE if found.earlier is OperationState.SUCCEEDED else Outcome.REPEATS
    if newest is not None and newest.operation_id == wanted.operation_id and newest.state is not AttemptState.RUNNING:
        return Outcome.DONE if newest.state is AttemptState.SUCCEEDED else Outcome.REPEATS
    return None
