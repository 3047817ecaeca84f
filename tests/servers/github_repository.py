"""A repository of a fake GitHub, and how GitHub describes it."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Head:
    """The newest commit of a branch. Without a `login` its author has no account."""

    sha: str
    message: str = "Sell shoes\n\nAnd laces."
    login: str = "octocat"
    avatar_url: str = "https://avatars.githubusercontent.com/u/1?v=4"
    name: str = "Mona Lisa"
    committed_at: str = "2026-02-03T04:05:06Z"


@dataclass
class Repository:
    """A repository. `renamed` leads from old branches to new ones."""

    repository_id: int
    full_name: str
    private: bool
    branches: dict[str, Head]
    renamed: dict[str, str] = field(default_factory=dict)
    pull_requests: dict[int, Head] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.full_name.partition("/")[2]

    def described(self) -> dict[str, Any]:
        """Return what `GET /repos/{owner}/{repo}` tells."""
        return {"id": self.repository_id, "name": self.name, "full_name": self.full_name, "private": self.private}

    def described_branch(self, name: str) -> dict[str, Any]:
        """Return what `GET /repos/{owner}/{repo}/branches/{branch}` tells of a branch that is there."""
        return {"name": name, "commit": described_commit(self.branches[name])}

    def commit(self, sha: str) -> Head | None:
        """Find a commit among the newest of branches and pull requests."""
        return next((head for head in (*self.branches.values(), *self.pull_requests.values()) if head.sha == sha), None)


def described_commit(head: Head) -> dict[str, Any]:
    """Return what `GET /repos/{owner}/{repo}/commits/{ref}` tells."""
    author = {"name": head.name, "email": "mona@example.com", "date": "2026-01-01T00:00:00Z"}
    merger = {"name": "GitHub", "email": "noreply@github.com", "date": head.committed_at}
    account = {"login": head.login, "avatar_url": head.avatar_url} if head.login else None
    commit = {"author": author, "committer": merger, "message": head.message}
    return {"sha": head.sha, "commit": commit, "author": account, "committer": None}
