"""What reporting needs of GitHub: deployments with statuses, and one comment of ours on a pull request."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

# The reason of FailedPrecondition where GitHub no longer has a deployment.
DEPLOYMENT_NOT_FOUND = "GITHUB_DEPLOYMENT_NOT_FOUND"


class DeploymentState(StrEnum):
    """The states that GitHub knows of a deployment."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    SUCCESS = "success"
    FAILURE = "failure"
    ERROR = "error"
    INACTIVE = "inactive"
    QUEUED = "queued"


@dataclass(frozen=True)
class Site:
    """A repository, `owner/name`, and the installation that may write to it."""

    installation_id: int
    repository: str


@dataclass(frozen=True)
class NewDeployment:
    """What is deployed where; by `deployment_id`, which is ours, GitHub's deployment is found again."""

    deployment_id: str
    commit_sha: str
    environment: str
    is_production: bool


@dataclass(frozen=True)
class Status:
    """A state of a deployment, with one line for people."""

    state: DeploymentState
    description: str
    environment: str
    environment_url: str
    log_url: str


@dataclass(frozen=True)
class Comment:
    """A comment on a pull request, of our own App."""

    comment_id: int
    body: str


class Reports(Protocol):
    """What is written for people on GitHub. All of it may be repeated: nothing is there twice.

    All raise Transient for what may pass (reason `GITHUB_RATE_LIMITED` with the fact `retry_after_s` where GitHub asks
    for patience) and another HydraError for what a retry will not cure: FailedPrecondition or BuildFailed where
    somebody can put it right, Internal where GitHub does not understand us.
    """

    async def open_deployment(self, site: Site, new: NewDeployment) -> int:
        """Return the id of GitHub's deployment for ours, created where there is none."""
        ...

    async def report_status(self, site: Site, github_deployment_id: int, status: Status) -> None:
        """Add a status to a deployment, unless it is its newest one already."""
        ...

    async def find_pull_request(self, site: Site, branch: str) -> int:
        """Find the open pull request of a branch of the repository itself, the newest of several; 0 for none."""
        ...

    async def find_comment(self, site: Site, pull_request: int, marker: str, known_id: int) -> Comment | None:
        """Find our App's oldest comment that holds the marker; `known_id` (0 for none) is looked at first."""
        ...

    async def write_comment(self, site: Site, pull_request: int, comment_id: int, body: str) -> int:
        """Replace a comment's text, or write a new comment for an id of 0 or one that is gone; return its id.

        To repeat it, look with `find_comment` first: a new comment may be there though its answer was lost.
        """
        ...
