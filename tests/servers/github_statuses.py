"""The statuses of a fake GitHub's deployments.

https://docs.github.com/en/rest/deployments/statuses
"""

from collections.abc import Iterable
from typing import Any

from aiohttp import web
from yarl import URL

from tests.servers.github_answers import invalid, missing, page, require_kinds, said
from tests.servers.github_deployments import find
from tests.servers.github_directory import Directory
from tests.servers.github_door import Door
from tests.servers.github_records import Author, Deployment, DeploymentStatus
from tests.servers.github_repository import Repository

_STATES = ("error", "failure", "inactive", "in_progress", "queued", "pending", "success")
_DESCRIPTION_LENGTH = 140
_KINDS = {
    "state": str,
    "description": str,
    "environment": str,
    "environment_url": str,
    "log_url": str,
    "target_url": str,
    "auto_inactive": bool,
}


class Statuses:
    """`/deployments/{deployment}/statuses`."""

    def __init__(self, directory: Directory, door: Door) -> None:
        self._directory = directory
        self._door = door

    def routes(self, prefix: str) -> Iterable[web.RouteDef]:
        path = prefix + r"/deployments/{deployment:\d+}/statuses"
        yield web.get(path, self._list)
        yield web.post(path, self._create)

    async def _list(self, request: web.Request) -> web.Response:
        repository = self._door.reads(request, "deployments")
        deployment = find(request, repository)
        rows = [self._described(request, repository, deployment, each) for each in reversed(deployment.statuses)]
        return page(request, rows, self._door.address(request, repository))

    async def _create(self, request: web.Request) -> web.Response:
        repository = self._door.creates(request, "deployments")
        deployment = find(request, repository)
        wanted = await said(request)
        status = _read(repository, deployment, wanted, self._directory.bot())
        deployment.statuses.append(status)
        if status.state == "success" and wanted.get("auto_inactive", True):
            _retire_older(repository, deployment, self._directory.bot())
        return web.json_response(self._described(request, repository, deployment, status), status=201)

    def _described(
        self, request: web.Request, repository: Repository, deployment: Deployment, status: DeploymentStatus
    ) -> dict[str, Any]:
        api = f"{self._door.url(request)}/repos/{repository.full_name}"
        url = f"{api}/deployments/{deployment.deployment_id}"
        return {
            "url": f"{url}/statuses/{status.status_id}",
            "id": status.status_id,
            "state": status.state,
            "description": status.description,
            "environment": status.environment,
            "environment_url": status.environment_url,
            "log_url": status.log_url,
            "target_url": status.log_url,
            "created_at": status.created_at,
            "updated_at": status.created_at,
            "deployment_url": url,
            "repository_url": api,
            **self._directory.signed(status.author, "creator"),
        }


def _read(repository: Repository, deployment: Deployment, wanted: dict[str, Any], author: Author) -> DeploymentStatus:
    """Read what is wanted. Raises Refused where it is no status."""
    require_kinds(wanted, **_KINDS)
    state, description = wanted.get("state"), wanted.get("description") or ""
    if state is None:
        raise missing("state")
    if state not in _STATES:
        raise invalid("DeploymentStatus", "state", "state is not included in the list")
    if len(description) > _DESCRIPTION_LENGTH:
        limit = f"description is too long (maximum is {_DESCRIPTION_LENGTH} characters)"
        raise invalid("DeploymentStatus", "description", limit)
    return DeploymentStatus(
        repository.stamps.next_id(),
        state,
        author,
        repository.stamps.now(),
        wanted.get("environment") or deployment.newest_environment,
        description,
        _address(wanted, "environment_url"),
        _address(wanted, "log_url") or _address(wanted, "target_url"),
    )


def _address(wanted: dict[str, Any], name: str) -> str:
    given: str = wanted.get(name) or ""
    if given and (URL(given).scheme not in ("http", "https") or not URL(given).host):
        raise invalid("DeploymentStatus", name, f"{name} must use http(s) scheme")
    return given


def _retire_older(repository: Repository, newest: Deployment, author: Author) -> None:
    """Say of what was there before that it is no more; neither transient nor production environments are replaced."""
    for older in repository.deployments[: repository.deployments.index(newest)]:
        if older.is_transient or older.is_production or older.state != "success":
            continue
        if older.newest_environment == newest.newest_environment:
            stamps, environment = repository.stamps, older.newest_environment
            older.statuses.append(DeploymentStatus(stamps.next_id(), "inactive", author, stamps.now(), environment))
