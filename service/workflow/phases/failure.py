"""What is undone when a deploy fails (02 · 1, Failure). Each undo touches only what this attempt still holds."""

from collections.abc import Awaitable, Callable

from sqlalchemy.ext.asyncio import AsyncConnection

from service.clock import now_ms
from service.database import attempts, builds, deployments, steps, topologies
from service.database.attempts import AttemptState
from service.database.operations import OperationKind
from service.domain.deployment import DesiredState, TopologyStatus
from service.durable.journal import UNDO_BUDGET, Journal
from service.errors import HydraError
from service.workflow import record
from service.workflow.runtime import Runtime


async def mark_failed(journal: Journal, runtime: Runtime, deployment_id: str, error: HydraError) -> bool:
    """Set the deployment `failed` and end its open step and the operation; False where a newer attempt has it."""
    operation_id = journal.operation_id

    async def work(conn: AsyncConnection) -> None:
        now = now_ms()
        await record.end_failed(conn, journal, OperationKind.DEPLOY, {"deployment_id": deployment_id}, error)
        await steps.fail(conn, deployment_id, error.message, now)
        await attempts.end(conn, deployment_id, operation_id, AttemptState.FAILED, now)
        await builds.abandon(conn, operation_id, now)

    return await _undo(journal, runtime, "mark deployment failed", deployment_id, work)


async def stop_topologies(journal: Journal, runtime: Runtime, deployment_id: str) -> None:
    """Stop what was set running, in a way that the agents' stream and their resync both see at once."""

    async def work(conn: AsyncConnection) -> None:
        now = now_ms()
        running = [
            topology.region_id
            for topology in (await topologies.existing(conn, deployment_id)).values()
            if topology.desired_status == TopologyStatus.RUNNING
        ]
        if not running:
            return
        await topologies.set_status(conn, deployment_id, TopologyStatus.STOPPED, running, now)
        await deployments.set_desired_state(conn, deployment_id, DesiredState.ARCHIVED, now)

    await _undo(journal, runtime, "stop topologies", deployment_id, work)


async def _undo(
    journal: Journal,
    runtime: Runtime,
    name: str,
    deployment_id: str,
    work: Callable[[AsyncConnection], Awaitable[None]],
) -> bool:
    """Do `work` in one transaction, under the claim's lock; False where a newer attempt has the deployment."""

    async def fenced(conn: AsyncConnection) -> bool:
        held = await deployments.lock(conn, deployment_id) and await attempts.holds(
            conn, deployment_id, journal.operation_id
        )
        if held:
            await work(conn)
        return held

    return await journal.step(name, bool, lambda: runtime.database.transact(fenced), UNDO_BUDGET)
