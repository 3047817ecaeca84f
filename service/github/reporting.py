"""Reports to GitHub, and their absence where there is no App."""

from service.github.access import Access
from service.github.comments import Comments
from service.github.deployments import Deployments
from service.github.identity import Ourselves
from service.github.pull_requests import find_pull_request
from service.github.reports import Comment, NewDeployment, Site, Status


class NullReports:
    """Reports of a service that is no App: it has no name to write in, so that it writes nothing."""

    async def open_deployment(self, site: Site, new: NewDeployment) -> int:  # noqa: ARG002 - the protocol's
        return 0

    async def report_status(self, site: Site, github_deployment_id: int, status: Status) -> None:
        """Nobody is told."""

    async def find_pull_request(self, site: Site, branch: str) -> int:  # noqa: ARG002 - the protocol's
        return 0

    async def find_comment(self, site: Site, pull_request: int, marker: str, known_id: int) -> Comment | None:  # noqa: ARG002 - the protocol's
        return None

    async def write_comment(self, site: Site, pull_request: int, comment_id: int, body: str) -> int:  # noqa: ARG002 - the protocol's
        return 0


class GitHubReports:
    """Reports in the name of our App, each with a token that may do no more than write it."""

    def __init__(self, access: Access, ourselves: Ourselves) -> None:
        self._access = access
        self._deployments = Deployments(access, ourselves)
        self._comments = Comments(access, ourselves)

    async def open_deployment(self, site: Site, new: NewDeployment) -> int:
        return await self._deployments.open(site, new)

    async def report_status(self, site: Site, github_deployment_id: int, status: Status) -> None:
        await self._deployments.report(site, github_deployment_id, status)

    async def find_pull_request(self, site: Site, branch: str) -> int:
        return await find_pull_request(self._access, site, branch)

    async def find_comment(self, site: Site, pull_request: int, marker: str, known_id: int) -> Comment | None:
        return await self._comments.find(site, pull_request, marker, known_id)

    async def write_comment(self, site: Site, pull_request: int, comment_id: int, body: str) -> int:
        return await self._comments.write(site, pull_request, comment_id, body)
