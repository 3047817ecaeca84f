"""Phase `starting`: load what the deployment belongs to."""

from sqlalchemy.ext.asyncio import AsyncConnection

from service.clock import now_ms
from service.database import attempts, deployments, steps, workspaces
from service.database.deployments import Subject
from service.domain.deployment import Step
from service.domain.identifiers import dns_label
from service.durable.journal import Journal
from service.workflow.runtime import Runtime

_NAMESPACE_CANDIDATES = 3


async def start(journal: Journal, runtime: Runtime, deployment_id: str) -> Subject:
    """Begin the work: end step `queued`, begin `starting`, and make sure that the workspace has a namespace.

    Raises NotFound where the deployment's workspace, project, app or environment is missing, and
    FailedPrecondition where a newer attempt has taken the deployment over.
    """
    chance = journal.ctx.random()
    candidates = [dns_label(chance) for _ in range(_NAMESPACE_CANDIDATES)]

    async def work(conn: AsyncConnection) -> Subject:
        now = now_ms()
        await attempts.require(conn, deployment_id, journal.operation_id)
        subject = await deployments.subject(conn, deployment_id)
        if subject.k8s_namespace is None:
            await workspaces.give_namespace(conn, subject.workspace_id, candidates)
            subject = await deployments.subject(conn, deployment_id)
        await steps.advance(conn, subject, [Step.STARTING], now)
        return subject

    return await journal.step("start deployment", Subject, lambda: runtime.database.transact(work))
