"""A repository of a fake GitHub, and how GitHub describes it."""

from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

from tests.servers.github_records import Author, Comment, Deployment, PullRequest, Stamps


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
    """A repository. `renamed` leads from old branches to new ones, `older` are commits that are no branch's newest.

    `pull_requests` are the heads of its pull requests; one that is only put there is open, from a fork of a stranger's.
    `unchecked` are commits whose checks have not passed.
    """

    repository_id: int
    full_name: str
    private: bool
    branches: dict[str, Head]
    stamps: Stamps = field(repr=False)
    renamed: dict[str, str] = field(default_factory=dict)
    older: list[Head] = field(default_factory=list)
    unchecked: set[str] = field(default_factory=set)
    pull_requests: dict[int, Head] = field(default_factory=dict)
    deployments: list[Deployment] = field(default_factory=list)
    all_comments: dict[int, Comment] = field(default_factory=dict)
    _pull_requests: dict[int, PullRequest] = field(default_factory=dict)

    @property
    def owner(self) -> str:
        return self.full_name.partition("/")[0]

    @property
    def name(self) -> str:
        return self.full_name.partition("/")[2]

    def move(self, full_name: str) -> None:
        """Take another name; the pull requests from its own branches are still that."""
        for found in self._pull_requests.values():
            found.by = full_name if found.by == self.full_name else found.by
        self.full_name = full_name

    def described(self) -> dict[str, Any]:
        """Return what `GET /repos/{owner}/{repo}` tells."""
        return {"id": self.repository_id, "name": self.name, "full_name": self.full_name, "private": self.private}

    def described_branch(self, name: str) -> dict[str, Any]:
        """Return what `GET /repos/{owner}/{repo}/branches/{branch}` tells of a branch that is there."""
        return {"name": name, "commit": described_commit(self.branches[name])}

    def commit(self, sha: str) -> Head | None:
        """Find a commit among those of branches and pull requests."""
        known = (*self.branches.values(), *self.pull_requests.values(), *self.older)
        return next((head for head in known if head.sha == sha), None)

    def resolve(self, ref: str) -> Head | None:
        """Find the commit that a branch or a hash leads to."""
        return self.branches.get(ref.removeprefix("refs/heads/")) or self.commit(ref)

    def open_pull_request(self, branch: str, *, head: Head | None = None, by: str | None = None) -> int:
        """Open a pull request from a branch of this repository or of a fork, `by`; return its number.

        Its head is that of the branch unless another is given, which a fork's has to be.
        """
        number = max(self.pull_requests, default=0) + 1
        self.pull_requests[number] = head or self.branches[branch]
        self._pull_requests[number] = self._opened(number, branch, self.full_name if by is None else by)
        return number

    def pull_request(self, number: int) -> PullRequest | None:
        """Return a pull request, to be changed."""
        if number in self.pull_requests and number not in self._pull_requests:
            self._pull_requests[number] = self._opened(number, f"patch-{number}", f"stranger/{self.name}")
        return self._pull_requests.get(number)

    def comment(self, number: int, body: str, *, login: str = "octocat", bot_of: str = "") -> Comment:
        """Add a comment to a pull request, by a person or by the bot of another App, named by its slug."""
        author = Author(bot_of, crc32(bot_of.encode())) if bot_of else Author(login)
        return self.add_comment(number, body, author)

    def add_comment(self, number: int, body: str, author: Author) -> Comment:
        now = self.stamps.now()
        comment = Comment(self.stamps.next_id(), number, author, body, now, now)
        self.all_comments[comment.comment_id] = comment
        return comment

    def comments(self, number: int) -> list[Comment]:
        """Return the comments of a pull request, the oldest first."""
        return [comment for comment in self.all_comments.values() if comment.number == number]

    def _opened(self, number: int, branch: str, by: str) -> PullRequest:
        now = self.stamps.now()
        return PullRequest(self.stamps.next_id(), number, branch, by, now, now)


def described_commit(head: Head) -> dict[str, Any]:
    """Return what `GET /repos/{owner}/{repo}/commits/{ref}` tells."""
    author = {"name": head.name, "email": "mona@example.com", "date": "2026-01-01T00:00:00Z"}
    merger = {"name": "GitHub", "email": "noreply@github.com", "date": head.committed_at}
    account = {"login": head.login, "avatar_url": head.avatar_url} if head.login else None
    commit = {"author": author, "committer": merger, "message": head.message}
    return {"sha": head.sha, "commit": commit, "author": account, "committer": None}
