"""Before traffic moves to a deployment that ran before: it runs, or is woken."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from service.clock import now_ms
from service.counters import Counters
from service.database import apps, deployments, operations
from service.database.operations import OperationKind, OperationState
from service.domain.deployment import DesiredState
from service.durable.journal import Journal
from service.errors import FailedPrecondition
from service.routing import waking
from service.workflow import record
from service.workflow.phases.provision import Provisioned
from service.workflow.phases.undo import Operation
from service.workflow.runtime import Runtime


@dataclass(frozen=True)
class Awake:
    """A deployment that is to run: where, and whether it is healthy already."""

    placed: Provisioned
    healthy: bool


async def wake(journal: Journal, runtime: Runtime, operation: Operation) -> Awake:
    """Set the operation's deployment running in the regions that can run it, unless it is.

    An operation that only wakes is recorded here. Raises FailedPrecondition where it is archived or has no region to
    run in.
    """

    async def work(conn: AsyncConnection) -> Awake:
        return await _wake(conn, journal, runtime, operation)

    database = runtime.database
    return await Counters(journal, database).step("wake deployment", Awake, lambda: database.transact(work))


async def _wake(conn: AsyncConnection, journal: Journal, runtime: Runtime, operation: Operation) -> Awake:
    now = now_ms()
    deployment_id = operation.deployment_id
    app_id = await deployments.app_of(conn, deployment_id)
    if app_id is None:
        raise deployments.deployment_not_found(deployment_id)
    await apps.lock(conn, app_id)
    if not await deployments.lock(conn, deployment_id):
        raise deployments.deployment_not_found(deployment_id)
    current = await deployments.subject(conn, deployment_id)
    if current.desired_state == DesiredState.ARCHIVED:
        raise FailedPrecondition(f"the deployment {deployment_id!r} is archived: deploy a new one", reason="ARCHIVED")
    if operation.kind is OperationKind.DESIRED_STATE:
        about = operations.subject_columns(current)
        await record.begin(conn, journal, operation.kind, {**about, "detail": {"desired_state": "running"}})
    woken = await waking.wake(conn, current, now)
    seen_before, healthy = woken.seen_before, woken.healthy
    if woken.set_running:
        await operations.annotate(conn, operation.operation_id, {"woken": True, "seen_before": seen_before})
    elif (since := await operations.woken_since(conn, deployment_id)) is not None:
        seen_before, healthy = since, False
    deadline_ms = now + runtime.options.health_timeout_ms
    return Awake(Provisioned(woken.regions, deadline_ms, seen_before), healthy)


async def end_start(journal: Journal, runtime: Runtime) -> None:
    """Record that a deployment was started."""

    async def work(conn: AsyncConnection) -> None:
        await operations.end(conn, journal.operation_id, OperationState.SUCCEEDED, now_ms())

    await journal.step("end start", type(None), lambda: runtime.database.transact(work))
