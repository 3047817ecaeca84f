"""hydra.v1.GitHubStatusService: a deployment as GitHub shows it (02 · 8). The object's key is the deployment's id."""

from typing import Any

from google.protobuf import json_format
from hydra.v1 import github_status_pb2

from service.domain.git import is_repository
from service.durable.binding import Handler
from service.errors import InvalidArgument
from service.workflow.github_report import GITHUB_DEPLOYMENT, PENDING, PULL_REQUEST, STATES, Reporter
from service.workflow.runtime import Runtime

_CONFIG = "config"  # by its name and in the spelling of a Go worker before us (03 · 2.0)


def github_status_handlers(runtime: Runtime) -> dict[str, Handler]:
    """Make the handlers by rpc name."""

    async def init(
        ctx: Any, request: github_status_pb2.GitHubStatusInitRequest
    ) -> github_status_pb2.GitHubStatusInitResponse:
        if request.installation_id and is_repository(request.repo):
            ctx.set(_CONFIG, _spelled_by_go(request))
            if request.existing_github_deployment_id:
                ctx.set(GITHUB_DEPLOYMENT, request.existing_github_deployment_id)
            if request.pr_number:
                ctx.set(PULL_REQUEST, request.pr_number)
            await Reporter(runtime, ctx, request).report(PENDING, "Waiting to be deployed")
        return github_status_pb2.GitHubStatusInitResponse()

    async def report_status(
        ctx: Any, request: github_status_pb2.GitHubStatusReportRequest
    ) -> github_status_pb2.GitHubStatusReportResponse:
        if request.state not in STATES:
            raise InvalidArgument("state is unspecified or unknown: say how the deployment fares", field="state")
        if kept := await ctx.get(_CONFIG):
            config = json_format.ParseDict(
                kept, github_status_pb2.GitHubStatusInitRequest(), ignore_unknown_fields=True
            )
            await Reporter(runtime, ctx, config).report(request.state, request.description)
        return github_status_pb2.GitHubStatusReportResponse()

    return {"Init": init, "ReportStatus": report_status}


def _spelled_by_go(request: github_status_pb2.GitHubStatusInitRequest) -> dict[str, Any]:
    """Spell a request as Go's encoding/json does: the names of the proto, 64-bit numbers as numbers."""
    return {field.name: value for field, value in request.ListFields()}
