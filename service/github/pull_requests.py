"""Which pull request a branch has."""

from typing import Any

from service.github.access import Access
from service.github.answers import find, number, text
from service.github.listings import Listing, search
from service.github.reports import Site
from service.github.scopes import Grant, Scope


async def find_pull_request(access: Access, site: Site, branch: str) -> int:
    """Find the open pull request of a branch of the repository itself, the newest of several; 0 for none."""
    grant = Grant(site.installation_id, site.repository, Scope.PULL_REQUESTS)
    # The filter knows no owner by a former name.
    repository = text(await access.look(grant), "full_name")
    owner, _, _ = repository.partition("/")
    query = {"state": "open", "head": f"{owner}:{branch}", "sort": "created", "direction": "desc"}

    def is_of_branch(pull_request: Any) -> bool:
        """Check what GitHub was asked for: it answers with all of them where it does not understand `head`."""
        head = find(pull_request, "head")
        of = str(find(head, "repo", "full_name"))  # None where a fork was deleted
        return find(head, "ref") == branch and of.lower() == repository.lower()

    found = await search(access, grant, Listing(f"/repos/{site.repository}/pulls", query), is_of_branch)
    return max((number(each, "number") for each in found), default=0)
