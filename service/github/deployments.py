"""A deployment of ours as one of GitHub's, with a status for each state that it comes to.

https://docs.github.com/en/rest/deployments
"""

import json
import re
from http import HTTPStatus
from typing import Any

from service.github import refusals
from service.github.access import Access
from service.github.answers import find, number
from service.github.client import Request
from service.github.identity import Author, Ourselves
from service.github.listings import Listing, search
from service.github.reports import DeploymentState, NewDeployment, Site, Status
from service.github.scopes import Grant, Scope

# In the payload, which GitHub keeps for us: by it a deployment is found again.
_OUR_ID = "hydra_deployment_id"
_ENVIRONMENT_LENGTH = 255
_DESCRIPTION_LENGTH = 140
_WEB_URL = re.compile(r"https?://[^\s/?#]\S*", re.IGNORECASE)


class Deployments:
    """The deployments of repositories."""

    def __init__(self, access: Access, ourselves: Ourselves) -> None:
        self._access = access
        self._ourselves = ourselves

    async def open(self, site: Site, new: NewDeployment) -> int:
        """Return the id of GitHub's deployment for ours, created where there is none."""
        grant = _grant(site)
        path, environment = f"/repos/{site.repository}/deployments", new.environment[:_ENVIRONMENT_LENGTH]
        known = Listing(path, {"sha": new.commit_sha, "environment": environment})
        found = await search(self._access, grant, known, lambda each: _our_id(each) == new.deployment_id)
        if found:
            return number(found[0], "id")
        wanted = {
            "ref": new.commit_sha,
            "environment": environment,
            "payload": {_OUR_ID: new.deployment_id},
            "description": f"Deployment {new.deployment_id}",
            "auto_merge": False,
            "required_contexts": [],
            "transient_environment": not new.is_production,
            "production_environment": new.is_production,
        }
        # 202: the default branch was merged instead, which was not asked for; 409: a check or a merge is in the way.
        expected = (HTTPStatus.CREATED, HTTPStatus.ACCEPTED, HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY)
        answer = await self._access.ask(Request("POST", path, wanted), grant, expected)
        if answer.status != HTTPStatus.CREATED:
            raise refusals.deployment_refused(site.repository, new.commit_sha)
        return number(answer.body, "id")

    async def report(self, site: Site, github_deployment_id: int, status: Status) -> None:
        """Add a status, unless it is the newest already."""
        grant = _grant(site)
        path = f"/repos/{site.repository}/deployments/{github_deployment_id}/statuses"
        wanted = _described(status)
        author = await self._ourselves.author()
        gone = refusals.deployment_not_found(site.repository, github_deployment_id)
        known = await search(self._access, grant, Listing(path, absent=gone), lambda each: _counts(each, author))
        if known and _says(max(known, key=lambda each: number(each, "id")), wanted):
            return
        expected = (HTTPStatus.CREATED, HTTPStatus.UNPROCESSABLE_ENTITY)
        answer = await self._access.ask(Request("POST", path, wanted), grant, expected)
        if answer.status != HTTPStatus.CREATED:
            raise refusals.status_refused(site.repository, github_deployment_id)


def _grant(site: Site) -> Grant:
    return Grant(site.installation_id, site.repository, Scope.DEPLOYMENTS)


def _our_id(deployment: Any) -> Any:
    """Return our id of a deployment, None where it is not ours. GitHub gives a payload as it came, or as a string."""
    payload = find(deployment, "payload")
    if isinstance(payload, str):
        try:
            payload = json.loads(payload)
        except (ValueError, RecursionError):
            return None
    return find(payload, _OUR_ID)


def _counts(status: Any, author: Author) -> bool:
    """Tell whether a status is ours, or one that GitHub itself gives to a deployment that was replaced."""
    return author.wrote(status, "creator") or find(status, "state") == DeploymentState.INACTIVE


def _described(status: Status) -> dict[str, Any]:
    urls = {"environment_url": status.environment_url, "log_url": status.log_url}
    return {
        "state": status.state.value,
        "description": _one_line(status.description),
        "environment": status.environment[:_ENVIRONMENT_LENGTH],
        "auto_inactive": True,
        **{name: url for name, url in urls.items() if _WEB_URL.fullmatch(url)},
    }


def _one_line(words: str) -> str:
    line = " ".join(words.split())
    return line if len(line) <= _DESCRIPTION_LENGTH else line[: _DESCRIPTION_LENGTH - 1].rstrip() + "…"


def _says(status: Any, wanted: dict[str, Any]) -> bool:
    return all((find(status, name) or "") == wanted.get(name, "") for name in ("state", "description", "log_url"))
