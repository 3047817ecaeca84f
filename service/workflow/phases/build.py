"""Phase `building`: find the image to run and save it on the deployment."""

from sqlalchemy.ext.asyncio import AsyncConnection

from service.clock import now_ms
from service.database import attempts, steps
from service.database.deployments import Subject
from service.domain.deployment import Step
from service.durable.journal import Journal
from service.workflow.runtime import Runtime


async def take_image(journal: Journal, runtime: Runtime, subject: Subject, image: str) -> None:
    """Save a ready image and begin `deploying`; the step `building` is over as soon as it begins."""

    async def work(conn: AsyncConnection) -> None:
        await attempts.require(conn, subject.deployment_id, journal.operation_id)
        await steps.advance(conn, subject, [Step.BUILDING, Step.DEPLOYING], now_ms(), image=image)

    await journal.step("save image", type(None), lambda: runtime.database.transact(work))
