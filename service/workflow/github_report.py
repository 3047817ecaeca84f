"""One report of a deployment to GitHub: on its commit, and on its pull request (02 · 8).

Nothing here fails whoever asks: what GitHub does not take is logged, and the next report tries again.
"""

from dataclasses import dataclass
from typing import Any

import structlog
from hydra.v1 import github_status_pb2, pull_request_comment_pb2

from service.clock import now_ms
from service.database import reporting
from service.database.reporting import Reported
from service.domain.git import is_commit
from service.domain.hostname import Sticky
from service.domain.reporting import commit_page
from service.durable.binding import Address, send
from service.durable.journal import Journal
from service.errors import Cancelled, FailedPrecondition, HydraError
from service.github.reports import DEPLOYMENT_NOT_FOUND, DeploymentState, NewDeployment, Site, Status
from service.workflow.patience import ask
from service.workflow.runtime import Runtime

log = structlog.get_logger(__name__)

# State of the object, by the names that a Go worker before us has used (03 · 2.0).
GITHUB_DEPLOYMENT = "github_deployment_id"
PULL_REQUEST = "pr_number"
_COMMENT = "pr_comment_id"
# Ours: the last state that GitHub has taken. The reconciler looks for what is shown as under way and is not.
TOLD = "told"
# Ours: the commit of GitHub's deployment. A branch may have moved on when a deployment is tried again.
_COMMIT = "github_deployment_commit"

PENDING = github_status_pb2.GITHUB_DEPLOYMENT_STATE_PENDING
STATES: dict[int, DeploymentState] = {
    PENDING: DeploymentState.PENDING,
    github_status_pb2.GITHUB_DEPLOYMENT_STATE_IN_PROGRESS: DeploymentState.IN_PROGRESS,
    github_status_pb2.GITHUB_DEPLOYMENT_STATE_SUCCESS: DeploymentState.SUCCESS,
    github_status_pb2.GITHUB_DEPLOYMENT_STATE_FAILURE: DeploymentState.FAILURE,
    github_status_pb2.GITHUB_DEPLOYMENT_STATE_ERROR: DeploymentState.ERROR,
    github_status_pb2.GITHUB_DEPLOYMENT_STATE_INACTIVE: DeploymentState.INACTIVE,
    github_status_pb2.GITHUB_DEPLOYMENT_STATE_QUEUED: DeploymentState.QUEUED,
}
_ENDS = (DeploymentState.SUCCESS, DeploymentState.FAILURE, DeploymentState.ERROR)
# A route that moves on leaves the deployment with the names that are its own.
_PREVIEW_ORDER = (Sticky.LIVE, Sticky.BRANCH, Sticky.NONE, Sticky.DEPLOYMENT)


@dataclass(frozen=True)
class _Seen:
    """The deployment as it is shown, at `at_ms`."""

    deployment: Reported
    at_ms: int

    @property
    def preview_url(self) -> str:
        """Where it is reached and no other is; empty before it has names."""
        fqdns = self.deployment.fqdns
        return next((f"https://{fqdns[sticky]}" for sticky in _PREVIEW_ORDER if sticky in fqdns), "")

    @property
    def environment_url(self) -> str:
        """Where its environment is reached, if that is this deployment; else as `preview_url`."""
        fqdn = self.deployment.fqdns.get(Sticky.ENVIRONMENT)
        return f"https://{fqdn}" if fqdn else self.preview_url


class Reporter:
    """One report of one deployment."""

    def __init__(self, runtime: Runtime, ctx: Any, config: github_status_pb2.GitHubStatusInitRequest) -> None:
        self._runtime = runtime
        self._ctx = ctx
        self._journal: Journal = runtime.journal(ctx)
        self._config = config
        self._site = Site(config.installation_id, config.repo)

    async def report(self, state: int, description: str) -> None:
        """Show the state in both places, each as far as it can be."""
        try:
            seen = await self._look()
        except HydraError as error:
            self._give_up("anything", error)
            return
        try:
            await self._show_on_commit(seen, state, description)
        except HydraError as error:
            self._give_up("status", error)
        try:
            await self._show_on_pull_request(seen, state, description)
        except HydraError as error:
            self._give_up("pull request", error)

    def _give_up(self, what: str, error: HydraError) -> None:
        """Go on without; an operator's cancellation is obeyed."""
        if isinstance(error, Cancelled):
            raise error
        log.warning(
            "not reported to GitHub", what=what, deployment=self._ctx.key(), reason=error.reason, why=error.message
        )

    async def _look(self) -> _Seen:
        async def read() -> _Seen:
            found = await self._runtime.database.read(lambda conn: reporting.reported(conn, self._ctx.key()))
            now = now_ms()
            return _Seen(found or Reported("", now, 0, {}), now)

        return await self._journal.step("look at deployment", _Seen, read)

    async def _show_on_commit(self, seen: _Seen, state: int, description: str) -> None:
        if not is_commit(self._config.commit_sha):
            return
        config = self._config
        status = Status(
            STATES[state],
            description,
            config.environment_label,
            seen.environment_url or config.environment_url,
            config.log_url,
        )
        github_deployment_id = await self._github_deployment(seen)
        try:
            await self._report_status(github_deployment_id, status)
        except FailedPrecondition as error:
            if error.reason != DEPLOYMENT_NOT_FOUND:
                raise
            again = await self._github_deployment(seen, gone=github_deployment_id)
            await self._report_status(again, status)
        self._ctx.set(TOLD, state)

    async def _report_status(self, github_deployment_id: int, status: Status) -> None:
        if github_deployment_id:
            reports = self._runtime.reports
            await ask(
                self._journal,
                "report status",
                type(None),
                lambda: reports.report_status(self._site, github_deployment_id, status),
            )

    async def _github_deployment(self, seen: _Seen, gone: int = 0) -> int:
        """Return GitHub's deployment for ours, opened where none is known but one that is `gone`; 0 without an App."""
        config = self._config
        is_of_commit = await self._ctx.get(_COMMIT) in (None, config.commit_sha)
        known: int = (
            (await self._ctx.get(GITHUB_DEPLOYMENT) or seen.deployment.github_deployment_id) if is_of_commit else 0
        )
        if known == gone:
            known = 0
        if known and known == seen.deployment.github_deployment_id:
            return known
        new = NewDeployment(self._ctx.key(), config.commit_sha, config.environment_label, config.is_production)

        async def open_and_keep() -> int:
            opened = known or await self._runtime.reports.open_deployment(self._site, new)
            if opened:
                await self._runtime.database.transact(
                    lambda conn: reporting.keep_github_deployment(conn, self._ctx.key(), opened, now_ms())
                )
            return opened

        opened = await ask(self._journal, "open GitHub deployment", int, open_and_keep)
        if opened:
            self._ctx.set(GITHUB_DEPLOYMENT, opened)
            self._ctx.set(_COMMIT, config.commit_sha)
        return opened

    async def _show_on_pull_request(self, seen: _Seen, state: int, description: str) -> None:
        pull_request = await self._pull_request(state)
        if not pull_request:
            return
        config = self._config
        row = pull_request_comment_pb2.PullRequestCommentRow(
            project_slug=config.project_slug,
            app_slug=config.app_slug,
            env_slug=config.env_slug,
            deployment_id=self._ctx.key(),
            created_at_ms=seen.deployment.created_at_ms,
            state=state,  # type: ignore[arg-type] # a value of the enum
            description=description,
            preview_url=seen.preview_url or config.environment_url,
            inspect_url=config.log_url,
            commit_sha=config.commit_sha,
            commit_url=commit_page(self._runtime.options.github_url, config.repo, config.commit_sha),
            updated_at_ms=seen.at_ms,
            project_id=seen.deployment.project_id,
        )
        request = pull_request_comment_pb2.PutRowRequest(
            installation_id=config.installation_id,
            repo=config.repo,
            pr_number=pull_request,
            known_comment_id=await self._ctx.get(_COMMENT) or 0,
            row=row,
        )
        key = f"{config.repo.lower()}#{pull_request}"
        send(self._ctx, Address("hydra.v1.PullRequestCommentService", "PutRow", key), request)

    async def _pull_request(self, state: int) -> int:
        """Return the pull request to comment on; one that was opened meanwhile is found at the end."""
        kept: int = await self._ctx.get(PULL_REQUEST) or 0
        if kept or not self._config.branch or STATES[state] not in (DeploymentState.PENDING, *_ENDS):
            return kept
        reports, branch = self._runtime.reports, self._config.branch
        found = await ask(
            self._journal, "find pull request", int, lambda: reports.find_pull_request(self._site, branch)
        )
        if found:
            self._ctx.set(PULL_REQUEST, found)
        return found
