"""Everybody and everything that a fake GitHub knows: its App, where that is installed, tokens and repositories."""

from collections.abc import Callable, Iterable, Mapping

from tests.servers.github_app import App, Installation, Tokens
from tests.servers.github_limits import Limits
from tests.servers.github_records import Author, Stamps
from tests.servers.github_repository import Head, Repository


class Directory:
    """What GitHub knows. An older Enterprise does not tell which App wrote something: `names_apps` is False for it."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self.app = App.create()
        self.now_ms = now_ms
        self.tokens = Tokens(now_ms)
        self.limits = Limits(now_ms)
        self.stamps = Stamps(now_ms)
        self.names_apps = True
        self.installations: dict[int, Installation] = {}
        self.repositories: dict[int, Repository] = {}
        self._moved: dict[str, Repository] = {}

    def install(
        self, owner: str, only: Iterable[str] | None = None, permissions: Mapping[str, str] | None = None
    ) -> int:
        """Install the App on an account, for all of its repositories or for some; return the installation's id."""
        installation = Installation(self.stamps.next_id(), owner, None if only is None else set(only))
        if permissions is not None:
            installation.permissions = dict(permissions)
        self.installations[installation.installation_id] = installation
        return installation.installation_id

    def add_repository(
        self, full_name: str, *, private: bool = True, branches: Mapping[str, Head] | None = None
    ) -> Repository:
        repository = Repository(self.stamps.next_id(), full_name, private, dict(branches or {}), self.stamps)
        self.repositories[repository.repository_id] = repository
        return repository

    def repository(self, full_name: str) -> Repository:
        """Return a repository, to be changed."""
        return next(found for found in self.repositories.values() if found.full_name == full_name)

    def rename(self, repository: Repository, full_name: str) -> None:
        """Rename it; its old name redirects."""
        self._moved[repository.full_name] = repository
        repository.move(full_name)

    def valid_token(self, token: str, repository: str) -> bool:
        """Tell whether a token may read the contents of a repository now: what git is asked with."""
        found, given = self.named(repository), self.tokens.find(token)
        return found is not None and given is not None and given.allows(found, "contents")

    def named(self, full_name: str) -> Repository | None:
        """Find a repository by its name of today, in any case, or by one of old."""
        for repository in self.repositories.values():
            if repository.full_name.lower() == full_name.lower():
                return repository
        return self._moved.get(full_name)

    def bot(self) -> Author:
        """Return the App as the author of what its tokens write."""
        return Author(self.app.slug, self.app.app_id)

    def signed(self, author: Author, role: str = "user") -> dict[str, object]:
        """Describe an author and the App that was used; ours goes by its name of today, whatever it has written."""
        if author.app_id == self.app.app_id:
            author = self.bot()
        app = author.described_app() if self.names_apps else None
        return {role: author.described(), "performed_via_github_app": app}
