"""Phase `building`: find the image to run and save it on the deployment."""

from sqlalchemy.ext.asyncio import AsyncConnection

from service.clock import now_ms
from service.database import deployments
from service.database.deployments import Subject
from service.domain.deployment import Step
from service.durable.journal import Journal
from service.workflow.runtime import Runtime


async def take_image(journal: Journal, runtime: Runtime, subject: Subject, image: str) -> None:
    """Save a ready image and begin `deploying`; the step `building` is over as soon as it begins."""

    async def work(conn: AsyncConnection) -> None:
        now = now_ms()
        await deployments.end_step(conn, subject.deployment_id, Step.STARTING, now)
        await deployments.begin_step(conn, subject, Step.BUILDING, now)
        await deployments.set_image(conn, subject.deployment_id, image, now)
        await deployments.end_step(conn, subject.deployment_id, Step.BUILDING, now)
        await deployments.begin_step(conn, subject, Step.DEPLOYING, now)

    await journal.step("save image", type(None), lambda: runtime.database.transact(work))
