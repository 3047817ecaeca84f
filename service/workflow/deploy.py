"""Deploy: from an image or a commit to live traffic (02 · 1)."""

from typing import Any

from hydra.v1 import deploy_pb2

from service.contract import validate_deploy
from service.durable.binding import Handler
from service.durable.journal import Journal
from service.errors import HydraError
from service.workflow.compensation import Compensation, unwind
from service.workflow.phases import build, claim, failure, finalize, network, provision, readiness, start
from service.workflow.phases.build import Image
from service.workflow.phases.report import Report
from service.workflow.runtime import Runtime


def deploy_handler(runtime: Runtime) -> Handler:
    """Make the Deploy handler. Shared: nothing waits for it, whatever key the caller used (06 · decision 1)."""

    async def deploy(ctx: Any, request: deploy_pb2.DeployRequest) -> deploy_pb2.DeployResponse:
        validate_deploy(request)
        journal = runtime.journal(ctx)
        undo = Compensation()
        report = Report(journal, runtime, request)
        try:
            replaced = await _deploy(journal, runtime, request, report, undo)
        except HydraError as error:
            await unwind(journal, undo, error)
            raise
        if replaced is not None:
            finalize.schedule_standby(journal, replaced, after=runtime.options.standby_delay)
            report.succeed(replaced)
            finalize.collect_openapi(journal, request.deployment_id)
        return deploy_pb2.DeployResponse()

    return deploy


async def _deploy(
    journal: Journal, runtime: Runtime, request: deploy_pb2.DeployRequest, report: Report, undo: Compensation
) -> list[str] | None:
    """Run the phases; returns the deployments that lost their place to this one, None where another did the work."""
    deployment_id = request.deployment_id

    async def fail(cause: HydraError) -> None:
        if await failure.mark_failed(journal, runtime, deployment_id, cause):
            report.fail(cause)

    undo.add("mark deployment failed", fail)
    if not await claim.claim(journal, runtime, deployment_id):
        return None
    subject = await start.start(journal, runtime, deployment_id)
    image = await build.resolve_image(journal, runtime, subject, request, report)
    return await _release(journal, runtime, image, undo)


async def _release(journal: Journal, runtime: Runtime, image: Image, undo: Compensation) -> list[str]:
    """Run the image in its regions and give it its traffic."""
    subject = image.subject
    undo.add("stop topologies", lambda _: failure.stop_topologies(journal, runtime, subject.deployment_id))
    provisioned = await provision.provision(journal, runtime, subject)
    unhealthy = await readiness.await_healthy(journal, runtime, subject, provisioned)
    cleared = finalize.clear_scheduled_changes(journal, subject.deployment_id)
    await network.reserve_names(journal, runtime, image, unhealthy)
    await cleared.response()
    undo.add("revert traffic", lambda _: finalize.revert_traffic(journal, subject))
    return await finalize.switch_traffic(journal, subject)
