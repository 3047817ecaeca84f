"""What a build is made of and what it leaves behind: its source, its steps, their lines, its image."""

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class GitSource:
    """Where the code of a build is; validated by `service.domain.git` (01 · 1).

    `commit_sha` is lower-case hex or empty: then the newest commit of `branch` is meant, or of the pull request.
    `pull_request` above 0 asks for the head of that one, which anybody may have written.
    """

    repository: str
    commit_sha: str
    branch: str
    context_path: str = ""
    dockerfile_path: str = ""
    pull_request: int = 0
    installation_id: int = 0


class BuildOf(NamedTuple):
    """Whose build it is: what its rows in ClickHouse are ordered by, in that order (03 · 4.1, 4.2)."""

    workspace_id: str
    project_id: str
    deployment_id: str


@dataclass(frozen=True)
class BuildStep:
    """One step of a build that ended; `step_id` is BuildKit's digest of it. Times are Unix milliseconds."""

    step_id: str
    name: str
    started_at_ms: int
    completed_at_ms: int
    cached: bool
    error: str
    has_logs: bool


@dataclass(frozen=True)
class BuildLogLine:
    """What a step wrote: a raw chunk, not split into lines (03 · 4.2)."""

    step_id: str
    time_ms: int
    message: str
