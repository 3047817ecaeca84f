"""Phase `network`: reserve the deployment's host names."""

from collections.abc import Mapping
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection

from service.clock import now_ms
from service.database import attempts, operations, steps
from service.domain.deployment import Step
from service.domain.hostname import draw_commit_suffix, names
from service.durable.journal import Journal
from service.routing import reservation
from service.workflow.phases.build import Image
from service.workflow.phases.naming import name_input
from service.workflow.runtime import Runtime


async def reserve_names(journal: Journal, runtime: Runtime, image: Image, unhealthy: Mapping[str, str]) -> list[str]:
    """Give the deployment its names and begin `finalizing`; returns the host names in the order of 02 · 1.6.

    New names point to this deployment; existing ones stay where they are until the switch. `unhealthy` is kept
    with the operation.
    """
    subject = image.subject
    commit_suffix = draw_commit_suffix(journal.ctx.random())
    made_of = name_input(subject, runtime.options.default_domain)
    wanted = names(replace(made_of, commit_suffix=None if image.is_built else commit_suffix))
    seed = journal.ctx.random().getrandbits(64)

    async def work(conn: AsyncConnection) -> list[str]:
        now = now_ms()
        await attempts.require(conn, subject.deployment_id, journal.operation_id)
        reserved = await reservation.reserve(conn, subject, wanted, seed, now)
        await steps.advance(conn, subject, [Step.NETWORK, Step.FINALIZING], now)
        if unhealthy:
            await operations.annotate(conn, journal.operation_id, {"unhealthy_regions": dict(unhealthy)})
        return reserved

    return await journal.step("reserve names", list[str], lambda: runtime.database.transact(work))
