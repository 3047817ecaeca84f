"""hydra.v1.PullRequestCommentService: the one comment of a pull request. Exclusive per pull request: no row is lost."""

from typing import Any

import structlog
from hydra.v1 import github_status_pb2, pull_request_comment_pb2

from service.domain import comment
from service.domain.comment import Line, Row
from service.durable.binding import Handler
from service.errors import Cancelled, HydraError
from service.github.reports import Site
from service.workflow.patience import ask
from service.workflow.runtime import Runtime

log = structlog.get_logger(__name__)

_ROWS = "rows"
_COMMENT = "pr_comment_id"

_WORDS: dict[int, str] = {
    github_status_pb2.GITHUB_DEPLOYMENT_STATE_PENDING: "Queued",
    github_status_pb2.GITHUB_DEPLOYMENT_STATE_QUEUED: "Queued",
    github_status_pb2.GITHUB_DEPLOYMENT_STATE_SUCCESS: "Ready",
    github_status_pb2.GITHUB_DEPLOYMENT_STATE_FAILURE: "Failed",
    github_status_pb2.GITHUB_DEPLOYMENT_STATE_ERROR: "Failed",
    github_status_pb2.GITHUB_DEPLOYMENT_STATE_INACTIVE: "Inactive",
}


def pull_request_comment_handlers(runtime: Runtime) -> dict[str, Handler]:
    """Make the handlers by rpc name."""

    async def put_row(
        ctx: Any, request: pull_request_comment_pb2.PutRowRequest
    ) -> pull_request_comment_pb2.PutRowResponse:
        # Kept before GitHub is asked: what it does not take now is shown by the next row's report.
        kept = comment.lines_in("\n".join(await ctx.get(_ROWS) or []))
        lines = comment.merge(kept, [comment.line_of(_row(request.row))])
        ctx.set(_ROWS, [line.text for line in lines])
        known_id: int = await ctx.get(_COMMENT) or request.known_comment_id
        try:
            comment_id = await ask(
                runtime.journal(ctx), "write comment", int, lambda: _write(runtime, request, known_id, lines)
            )
        except Cancelled:
            raise
        except HydraError as error:
            log.warning("comment not written", pull_request=ctx.key(), reason=error.reason, why=error.message)
        else:
            ctx.set(_COMMENT, comment_id)
        return pull_request_comment_pb2.PutRowResponse()

    return {"PutRow": put_row}


async def _write(
    runtime: Runtime, request: pull_request_comment_pb2.PutRowRequest, known_id: int, lines: tuple[Line, ...]
) -> int:
    """Write our lines among those that are in the comment, of another installation or an earlier worker."""
    site = Site(request.installation_id, request.repo)
    found = await runtime.reports.find_comment(site, request.pr_number, comment.MARKER, known_id)
    there = comment.lines_in(found.body) if found else ()
    body = comment.body_of(comment.merge(there, lines))
    if found and found.body == body:
        return found.comment_id
    return await runtime.reports.write_comment(site, request.pr_number, found.comment_id if found else 0, body)


def _word(state: int, description: str) -> str:
    """Say a state in a word (02 · 8). What is in progress is a build only if it says so: an image may be ready."""
    return _WORDS.get(state) or ("Building" if description.startswith("Building") else "In Progress")


def _row(given: pull_request_comment_pb2.PullRequestCommentRow) -> Row:
    return Row(
        project=given.project_slug,
        app=given.app_slug,
        environment=given.env_slug,
        deployment_id=given.deployment_id,
        created_at_ms=given.created_at_ms,
        status=_word(given.state, given.description),
        description=given.description,
        preview_url=given.preview_url,
        inspect_url=given.inspect_url,
        commit_sha=given.commit_sha,
        commit_url=given.commit_url,
        updated_at_ms=given.updated_at_ms,
        project_id=given.project_id,
    )
