"""The deployments of a fake GitHub.

https://docs.github.com/en/rest/deployments/deployments
"""

from collections.abc import Iterable
from typing import Any

from aiohttp import web

from tests.servers.github_answers import Refused, missing, not_found, page, require_kinds, said
from tests.servers.github_directory import Directory
from tests.servers.github_door import Door
from tests.servers.github_records import Deployment
from tests.servers.github_repository import Repository

_KINDS = {
    "ref": str,
    "task": str,
    "auto_merge": bool,
    "required_contexts": list,
    "environment": str,
    "description": str,
    "transient_environment": bool,
    "production_environment": bool,
}


class Deployments:
    """`/deployments`. What is older is further behind in lists."""

    def __init__(self, directory: Directory, door: Door) -> None:
        self._directory = directory
        self._door = door

    def routes(self, prefix: str) -> Iterable[web.RouteDef]:
        yield web.get(f"{prefix}/deployments", self._list)
        yield web.post(f"{prefix}/deployments", self._create)
        yield web.get(prefix + r"/deployments/{deployment:\d+}", self._get)

    async def _list(self, request: web.Request) -> web.Response:
        repository = self._door.reads(request, "deployments")
        found = [each for each in reversed(repository.deployments) if _fits(each, request)]
        rows = [self._described(request, repository, each) for each in found]
        return page(request, rows, self._door.address(request, repository))

    async def _get(self, request: web.Request) -> web.Response:
        repository = self._door.reads(request, "deployments")
        return web.json_response(self._described(request, repository, find(request, repository)))

    async def _create(self, request: web.Request) -> web.Response:
        repository = self._door.creates(request, "deployments")
        wanted = await said(request)
        deployment = self._new(repository, wanted)
        repository.deployments.append(deployment)
        return web.json_response(self._described(request, repository, deployment), status=201)

    def _new(self, repository: Repository, wanted: dict[str, Any]) -> Deployment:
        require_kinds(wanted, **_KINDS)
        ref = wanted.get("ref")
        if not ref:
            raise missing("ref")
        head = repository.resolve(ref)
        if head is None:
            raise Refused(422, f"No ref found for: {ref}")
        contexts = wanted.get("required_contexts")
        # Nothing is ever checked here: whatever is named has not passed, and all that there is unless some are named.
        if contexts or (contexts is None and head.sha in repository.unchecked):
            errors = [{"resource": "Deployment", "field": "required_contexts", "code": "invalid"}]
            raise Refused(409, f"Conflict: Commit status checks failed for {ref}.", errors)
        environment = wanted.get("environment") or "production"
        return Deployment(
            repository.stamps.next_id(),
            head.sha,
            ref,
            self._directory.bot(),
            repository.stamps.now(),
            environment,
            is_transient=wanted.get("transient_environment", False),
            is_production=wanted.get("production_environment", environment == "production"),
            task=wanted.get("task") or "deploy",
            description=wanted.get("description") or "",
            payload=wanted.get("payload", ""),
        )

    def _described(self, request: web.Request, repository: Repository, deployment: Deployment) -> dict[str, Any]:
        api = f"{self._door.url(request)}/repos/{repository.full_name}"
        url = f"{api}/deployments/{deployment.deployment_id}"
        return {
            "url": url,
            "id": deployment.deployment_id,
            "sha": deployment.sha,
            "ref": deployment.ref,
            "task": deployment.task,
            "payload": deployment.payload,
            "original_environment": deployment.environment,
            "environment": deployment.newest_environment,
            "description": deployment.description,
            "created_at": deployment.created_at,
            "updated_at": deployment.statuses[-1].created_at if deployment.statuses else deployment.created_at,
            "statuses_url": f"{url}/statuses",
            "repository_url": api,
            "transient_environment": deployment.is_transient,
            "production_environment": deployment.is_production,
            **self._directory.signed(deployment.author, "creator"),
        }


def find(request: web.Request, repository: Repository) -> Deployment:
    """Return the deployment that a request names. Raises Refused where there is none."""
    wanted = int(request.match_info["deployment"])
    for deployment in repository.deployments:
        if deployment.deployment_id == wanted:
            return deployment
    raise not_found()


def _fits(deployment: Deployment, request: web.Request) -> bool:
    query, ref = request.query, deployment.ref
    facts = {"sha": deployment.sha, "ref": ref, "task": deployment.task, "environment": deployment.newest_environment}
    return all(query.get(name, "none") in ("none", fact) for name, fact in facts.items())
