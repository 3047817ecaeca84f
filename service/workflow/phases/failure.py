"""What is undone when a deploy fails (02 · 1, Failure). Each undo touches only what this attempt still holds."""

from sqlalchemy.ext.asyncio import AsyncConnection

from service.clock import now_ms
from service.database import attempts, builds, deployments, steps, topologies
from service.database.attempts import Attempt, AttemptState
from service.database.operations import OperationKind
from service.domain.deployment import DesiredState, TopologyStatus
from service.durable.journal import UNDO_BUDGET, Journal
from service.errors import HydraError
from service.workflow import record
from service.workflow.runtime import Runtime


async def mark_failed(journal: Journal, runtime: Runtime, deployment_id: str, error: HydraError) -> bool:
    """Set the deployment `failed` and end its open step and the operation; False where another attempt has it.

    Also one that this operation never came to claim, such as one that was cancelled before.
    """
    operation_id = journal.operation_id

    async def work(conn: AsyncConnection) -> bool:
        if not await deployments.lock(conn, deployment_id):
            return False
        now = now_ms()
        held = await attempts.holds(conn, deployment_id, operation_id)
        if not held and not await claim_as_failed(conn, deployment_id, operation_id, now):
            return False
        await record.end_failed(conn, journal, OperationKind.DEPLOY, {"deployment_id": deployment_id}, error)
        await steps.fail(conn, deployment_id, error.message, now)
        await attempts.end(conn, deployment_id, operation_id, AttemptState.FAILED, now)
        await builds.abandon(conn, operation_id, now)
        return True

    return await journal.step("mark deployment failed", bool, lambda: runtime.database.transact(work), UNDO_BUDGET)


async def claim_as_failed(conn: AsyncConnection, deployment_id: str, operation_id: str, now_ms: int) -> bool:
    """Count a failed attempt at a deployment that is under way and that nobody works on; tell whether it was so.

    The caller holds the deployment's lock.
    """
    status = await deployments.status(conn, deployment_id)
    newest = await attempts.newest(conn, deployment_id, lock=True)
    if status is None or status.is_terminal or (newest is not None and newest.state is AttemptState.RUNNING):
        return False
    number = 1 if newest is None else newest.number + 1
    await attempts.claim(conn, deployment_id, Attempt(number, operation_id, AttemptState.FAILED), now_ms)
    return True


async def stop_topologies(journal: Journal, runtime: Runtime, deployment_id: str) -> None:
    """Stop what was set running, unless a newer attempt has it."""

    async def work(conn: AsyncConnection) -> None:
        locked = await deployments.lock(conn, deployment_id)
        if locked and await attempts.holds(conn, deployment_id, journal.operation_id):
            await stop(conn, deployment_id, now_ms())

    await journal.step("stop topologies", type(None), lambda: runtime.database.transact(work), UNDO_BUDGET)


async def stop(conn: AsyncConnection, deployment_id: str, now_ms: int) -> None:
    """Stop a deployment in its regions for good, in a way that the agents' stream and their resync both see at once."""
    existing = await topologies.existing(conn, deployment_id)
    running = [region for region, row in existing.items() if row.desired_status == TopologyStatus.RUNNING]
    if running:
        await topologies.set_status(conn, deployment_id, TopologyStatus.STOPPED, running, now_ms)
        await deployments.set_desired_state(conn, deployment_id, DesiredState.ARCHIVED, now_ms)
