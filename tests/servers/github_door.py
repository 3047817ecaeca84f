"""Who comes to a fake GitHub, what may be seen, and what may be done there."""

from aiohttp import web

from tests.servers.github_answers import Refused, not_accessible, not_found
from tests.servers.github_app import Token
from tests.servers.github_directory import Directory
from tests.servers.github_repository import Repository


class Moved(Exception):
    """What is asked for is elsewhere: `path` below the API."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class Door:
    """It opens a repository to who may do there what is wanted."""

    def __init__(self, directory: Directory, prefix: str) -> None:
        self._directory = directory
        self._prefix = prefix

    def identify(self, request: web.Request) -> tuple[str, Refused | None]:
        """Tell who asks, and how to refuse whom nobody knows."""
        bearer = _bearer(request)
        if not bearer:
            return "nobody", None
        if bearer.startswith("ghs_"):
            token = self._directory.tokens.find(bearer)
            if token is None:
                return "stranger", Refused(401, "Bad credentials")
            return f"installation {token.installation.installation_id}", None
        refusal = self._directory.app.refusal(bearer, self._directory.now_ms())
        return ("stranger", Refused(*refusal)) if refusal else ("app", None)

    def require_app(self, request: web.Request) -> None:
        """Raise Refused for whoever is not the App itself."""
        if self.identify(request)[0] != "app":
            raise Refused(401, "A JSON web token could not be decoded")

    def reads(self, request: web.Request, *permissions: str) -> Repository:
        """Find the repository of a request, for who may see it and has one of the permissions there.

        What may not be seen is not there: Refused is 404 for it.
        """
        repository, token = self._seen(request)
        if not repository.private or token is None:
            return repository
        if any(token.allows(repository, permission) for permission in permissions):
            return repository
        raise not_accessible()

    def writes(self, request: web.Request, *permissions: str) -> Repository:
        """Find the repository of a request, for who may write with one of the permissions there."""
        repository, token = self._seen(request)
        if token is None:
            raise Refused(401, "Requires authentication")
        if any(token.allows(repository, permission, "write") for permission in permissions):
            return repository
        raise not_accessible()

    def creates(self, request: web.Request, *permissions: str) -> Repository:
        """Find the repository of a request that makes something new there, as often as that is allowed."""
        repository = self.writes(request, *permissions)
        self._directory.limits.create(self.identify(request)[0])
        return repository

    def address(self, request: web.Request, repository: Repository) -> str:
        """Return where a request would be by the repository's id, as links to other pages are."""
        return f"{self.url(request)}/repositories/{repository.repository_id}{_rest(request)}"

    def url(self, request: web.Request) -> str:
        return f"{request.url.origin()}{self._prefix}"

    def _seen(self, request: web.Request) -> tuple[Repository, Token | None]:
        found = request.match_info
        name = "" if "id" in found else f"{found['owner']}/{found['name']}"
        repository = self._directory.named(name) if name else self._directory.repositories.get(int(found["id"]))
        token = self._directory.tokens.find(_bearer(request))
        if repository is None or not _sees(token, repository):
            raise not_found()
        if name and repository.full_name.lower() != name.lower():
            raise Moved(f"/repositories/{repository.repository_id}{_rest(request)}")
        return repository, token


def _sees(token: Token | None, repository: Repository) -> bool:
    return not repository.private or (token is not None and token.allows(repository, "metadata"))


def _rest(request: web.Request) -> str:
    """Return what follows the repository in a path, as it was quoted."""
    found = request.match_info
    start = f"/repositories/{found['id']}" if "id" in found else f"/repos/{found['owner']}/{found['name']}"
    return request.rel_url.raw_path.partition(start)[2]


def _bearer(request: web.Request) -> str:
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    return value if scheme.lower() in ("bearer", "token") else ""
