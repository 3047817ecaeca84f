"""Telling GitHub how deployments fare. Messages that nothing waits for: they neither delay nor fail an operation."""

from hydra.v1 import deploy_pb2, github_status_pb2

from service.database.deployments import Subject
from service.domain.deployment import PRODUCTION
from service.domain.reporting import dashboard_page, environment_label, environment_url
from service.durable.binding import Address, send
from service.durable.journal import Journal
from service.errors import Cancelled, HydraError, Internal, Transient
from service.workflow.phases.naming import name_input
from service.workflow.runtime import Options, Runtime

_SERVICE = "hydra.v1.GitHubStatusService"

_IN_PROGRESS = github_status_pb2.GITHUB_DEPLOYMENT_STATE_IN_PROGRESS
_SUCCESS = github_status_pb2.GITHUB_DEPLOYMENT_STATE_SUCCESS
_FAILURE = github_status_pb2.GITHUB_DEPLOYMENT_STATE_FAILURE
_ERROR = github_status_pb2.GITHUB_DEPLOYMENT_STATE_ERROR
_INACTIVE = github_status_pb2.GITHUB_DEPLOYMENT_STATE_INACTIVE

_LARGEST_PULL_REQUEST = 2**31 - 1  # of GitHubStatusInitRequest; the column takes more
_NOT_THE_APPS_FAULT = (Cancelled, Internal, Transient)


class Report:
    """What GitHub is told of one deploy. It hears of the end only if it heard of the beginning."""

    def __init__(self, journal: Journal, runtime: Runtime, request: deploy_pb2.DeployRequest) -> None:
        self._journal = journal
        self._options = runtime.options
        self._builds = request.WhichOneof("source") == "git"
        self._pull_request = request.git.pr_number
        self._begun = ""

    def begin(self, subject: Subject) -> None:
        """Show the deploy, as soon as its commit is known, if the app has a connected repository."""
        if not is_shown(subject):
            return
        self._begun = subject.deployment_id
        request = _init(subject, self._pull_request or subject.pull_request, self._options)
        send(self._journal.ctx, Address(_SERVICE, "Init", subject.deployment_id), request)
        _tell(self._journal, subject.deployment_id, _IN_PROGRESS, "Building the image" if self._builds else "Starting")

    def succeed(self, replaced: list[str]) -> None:
        """Show the end, and that of the deployments that lost their place to this one."""
        if self._begun:
            moved(self._journal, self._begun, "Ready", replaced, "Replaced by a newer deployment")

    def fail(self, cause: HydraError) -> None:
        """Show why it failed."""
        if self._begun:
            state = _ERROR if isinstance(cause, _NOT_THE_APPS_FAULT) else _FAILURE
            _tell(self._journal, self._begun, state, cause.message)


def is_connected(subject: Subject) -> bool:
    """Tell whether the app's repository is connected."""
    return bool(subject.installation_id and subject.repository)


def is_shown(subject: Subject) -> bool:
    """Tell whether GitHub can show the deployment: its repository is connected, and its commit known."""
    return bool(is_connected(subject) and subject.git_commit_sha)


def died(journal: Journal, deployment_id: str, why: str) -> None:
    """Show that the deploy ended without an end of its own."""
    _tell(journal, deployment_id, _ERROR, why)


def ended(journal: Journal, deployment_id: str, error: str, *, ready: bool) -> None:
    """Show an end that GitHub has not heard of."""
    _tell(journal, deployment_id, _SUCCESS if ready else _FAILURE, "Ready" if ready else error or "Failed")


def moved(journal: Journal, to: str, why: str, away_from: list[str], why_not: str) -> None:
    """Show that traffic went to one deployment, and away from others. Says nothing of one that was never shown."""
    _tell(journal, to, _SUCCESS, why)
    for deployment_id in away_from:
        if deployment_id != to:
            _tell(journal, deployment_id, _INACTIVE, why_not)


def _tell(journal: Journal, deployment_id: str, state: int, description: str) -> None:
    request = github_status_pb2.GitHubStatusReportRequest(
        state=state,  # type: ignore[arg-type] # a value of the enum
        description=description,
    )
    send(journal.ctx, Address(_SERVICE, "ReportStatus", deployment_id), request)


def _init(subject: Subject, pull_request: int, options: Options) -> github_status_pb2.GitHubStatusInitRequest:
    """Gather all that a report needs: the service may be another worker's, which asks for nothing more."""
    return github_status_pb2.GitHubStatusInitRequest(
        installation_id=subject.installation_id,
        repo=subject.repository,
        commit_sha=subject.git_commit_sha or "",
        branch=subject.git_branch or "",
        environment_label=environment_label(subject.project_slug, subject.app_slug, subject.environment_slug),
        environment_url=environment_url(name_input(subject, options.default_domain)),
        log_url=dashboard_page(
            options.dashboard_url, subject.workspace_slug, subject.project_id, subject.deployment_id
        ),
        is_production=subject.environment_slug == PRODUCTION,
        project_slug=subject.project_slug,
        app_slug=subject.app_slug,
        env_slug=subject.environment_slug,
        pr_number=pull_request if 0 < pull_request <= _LARGEST_PULL_REQUEST else 0,
        existing_github_deployment_id=subject.github_deployment_id,
    )
