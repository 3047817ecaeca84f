"""What a fake GitHub keeps beside a repository's code: deployments, pull requests and comments."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from zlib import crc32

from tests.servers.github_answers import iso


class Stamps:
    """What everything new is given: an id above all others, and the time."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._ids = count(1001)
        self._now_ms = now_ms

    def next_id(self) -> int:
        return next(self._ids)

    def now(self) -> str:
        return iso(self._now_ms())


@dataclass(frozen=True)
class Author:
    """A person, or the bot of the App whose `app_id` is not 0, which `login` then is the slug of."""

    login: str
    app_id: int = 0

    def described(self) -> dict[str, Any]:
        login = f"{self.login}[bot]" if self.app_id else self.login
        return {"login": login, "id": crc32(login.encode()), "type": "Bot" if self.app_id else "User"}

    def described_app(self) -> dict[str, Any] | None:
        return {"id": self.app_id, "slug": self.login, "name": self.login} if self.app_id else None


@dataclass(frozen=True)
class DeploymentStatus:
    """A state that a deployment came to."""

    status_id: int
    state: str
    author: Author
    created_at: str
    environment: str
    description: str = ""
    environment_url: str = ""
    log_url: str = ""


@dataclass
class Deployment:
    """A deployment; `environment` is the one that it was made for, `statuses` has the oldest first."""

    deployment_id: int
    sha: str
    ref: str
    author: Author
    created_at: str
    environment: str = "production"
    is_transient: bool = False
    is_production: bool = False
    task: str = "deploy"
    description: str = ""
    payload: Any = ""
    statuses: list[DeploymentStatus] = field(default_factory=list)

    @property
    def state(self) -> str:
        """The newest; empty where nothing was said of it."""
        return self.statuses[-1].state if self.statuses else ""

    @property
    def newest_environment(self) -> str:
        """A status may name another."""
        return self.statuses[-1].environment if self.statuses else self.environment


@dataclass
class Comment:
    """A comment on a pull request."""

    comment_id: int
    number: int
    author: Author
    body: str
    created_at: str
    updated_at: str


@dataclass
class PullRequest:
    """A pull request from a branch of the repository `by`; an empty one is a fork that was deleted since."""

    pull_request_id: int
    number: int
    branch: str
    by: str
    created_at: str
    updated_at: str
    base: str = "main"
    state: str = "open"
    is_locked: bool = False

    def close(self) -> None:
        self.state = "closed"
