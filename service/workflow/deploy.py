"""Deploy: from an image or a commit to live traffic."""

from typing import Any

from hydra.v1 import deploy_pb2

from service.contract import validate_deploy
from service.database.operations import OperationKind
from service.durable.binding import Handler
from service.durable.journal import Journal
from service.errors import HydraError
from service.workflow import record
from service.workflow.compensation import Compensation, unwind
from service.workflow.phases import build, claim, finalize, network, provision, readiness, start, wake
from service.workflow.phases.build import Image
from service.workflow.phases.claim import Outcome
from service.workflow.phases.finalize import Replaced
from service.workflow.phases.report import Report
from service.workflow.phases.undo import Operation, undo_operation
from service.workflow.runtime import Runtime


def deploy_handler(runtime: Runtime) -> Handler:
    """Make the Deploy handler. Shared: nothing waits for it, whatever key the caller used."""

    async def deploy(ctx: Any, request: deploy_pb2.DeployRequest) -> deploy_pb2.DeployResponse:
        validate_deploy(request)
        journal = runtime.journal(ctx)
        report = Report(journal, runtime, request)
        operation = Operation(journal.operation_id, OperationKind.DEPLOY, request.deployment_id)
        undo = Compensation()
        undo.add("undo", lambda cause: _undo(journal, runtime, report, operation, cause))
        try:
            outcome = await claim.claim(journal, runtime, request.deployment_id)
            if outcome is Outcome.BEGUN:
                operation.begun = True
                replaced = await _deploy(journal, runtime, request, report)
            elif outcome is Outcome.RESTS:
                operation.kind = OperationKind.DESIRED_STATE
                await _start_again(journal, runtime, operation)
        except HydraError as error:
            await unwind(journal, undo, error)
            raise
        if outcome is Outcome.REPEATS:
            raise record.operation_ended()
        if outcome is Outcome.BEGUN:
            finalize.let_rest(journal, replaced, runtime.options.standby_delay_ms)
            report.succeed(replaced.superseded)
            finalize.collect_openapi(journal, request.deployment_id)
        return deploy_pb2.DeployResponse()

    return deploy


async def _deploy(journal: Journal, runtime: Runtime, request: deploy_pb2.DeployRequest, report: Report) -> Replaced:
    """Run the phases; returns the deployments that lost their place to this one."""
    subject = await start.start(journal, runtime, request.deployment_id)
    image = await build.resolve_image(journal, runtime, subject, request, report)
    return await _release(journal, runtime, image)


async def _release(journal: Journal, runtime: Runtime, image: Image) -> Replaced:
    """Run the image in its regions and give it its traffic."""
    subject = image.subject
    provisioned = await provision.provision(journal, runtime, subject)
    unhealthy = await readiness.await_healthy(journal, runtime, subject.deployment_id, provisioned)
    cleared = finalize.clear_scheduled_changes(journal, subject.deployment_id)
    await network.reserve_names(journal, runtime, image, unhealthy)
    await cleared.response()
    return await finalize.switch_traffic(journal, subject)


async def _start_again(journal: Journal, runtime: Runtime, operation: Operation) -> None:
    """Set a deployment running that was ready before and rests; its traffic stays as it is."""
    await finalize.clear_scheduled_changes(journal, operation.deployment_id).response()
    awake = await wake.wake(journal, runtime, operation)
    operation.begun = True
    if not awake.healthy:
        await readiness.await_healthy(journal, runtime, operation.deployment_id, awake.placed)
    await wake.end_start(journal, runtime)


async def _undo(journal: Journal, runtime: Runtime, report: Report, operation: Operation, cause: HydraError) -> None:
    undone = await undo_operation(journal, runtime, operation, cause)
    if undone.failed:
        report.fail(cause)
    if undone.rest_after_ms is not None:
        finalize.schedule_standby(journal, [operation.deployment_id], undone.rest_after_ms)
