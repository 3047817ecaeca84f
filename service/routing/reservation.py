"""Reserving host names for a deployment (02 · 1.6, 06 · D1 to D4).

A name that is free becomes the deployment's. One that its app already has for the same purpose stays where it
points: the switch may move it. One that somebody else holds is left to them, and a hash makes another.
"""

import random
from collections.abc import Iterable

from sqlalchemy.ext.asyncio import AsyncConnection

from service.database import routes
from service.database.deployments import Subject
from service.database.routes import Route
from service.domain.hostname import Name, Sticky, disputed
from service.domain.identifiers import Prefix, new_id
from service.errors import FailedPrecondition

# Every dispute adds a fresh hash of 32 bits; a third in a row is not chance.
_MOST_DISPUTES = 3


async def reserve(conn: AsyncConnection, subject: Subject, wanted: Iterable[Name], seed: int, now_ms: int) -> list[str]:
    """Reserve every wanted name, or its alternative, and return the host names in the given order.

    `seed` fixes the ids of new routes, so that a repeat writes the same rows.
    """
    names = list(wanted)
    chance = random.Random(seed)  # noqa: S311 - ids, not secrets; the seed comes from the journal
    for _ in range(_MOST_DISPUTES):
        await routes.insert_missing(conn, [_row(subject, name, chance, now_ms) for name in names])
        held = await routes.by_fqdn(conn, [name.fqdn for name in names])
        lost = {name for name in names if not _is_ours(subject, name, held[name.fqdn.lower()])}
        if not lost:
            await routes.point(conn, _orphans(subject, held.values()), now_ms)
            return [name.fqdn for name in names]
        names = [disputed(name, _claimant(subject, name)) if name in lost else name for name in names]
    raise FailedPrecondition(
        f"the host name {names[0].fqdn!r} and its alternatives all belong to other apps", reason="NAMES_TAKEN"
    )


def _is_ours(subject: Subject, name: Name, route: Route) -> bool:
    """Tell whether a route is this app's for the same purpose; a branch's name is its own, whatever the slug."""
    if (route.app_id, route.sticky) != (subject.app_id, name.sticky):
        return False
    if name.sticky is not Sticky.BRANCH or route.owner.created_at is None:
        return True
    return (route.owner.git_branch, route.owner.fork_repository_full_name) == (
        subject.git_branch,
        subject.fork_repository_full_name,
    )


def _orphans(subject: Subject, held: Iterable[Route]) -> dict[str, str]:
    """Take up branch names whose deployment is gone: the switch could not tell any more which branch's they are."""
    return {
        route.route_id: subject.deployment_id
        for route in held
        if route.sticky is Sticky.BRANCH and route.owner.created_at is None
    }


def _claimant(subject: Subject, name: Name) -> str:
    branch = subject.git_branch if name.sticky is Sticky.BRANCH else ""
    return f"{subject.app_id} {name.sticky} {branch}"


def _row(subject: Subject, name: Name, chance: random.Random, now_ms: int) -> dict[str, str | int | None]:
    return {
        "id": new_id(Prefix.ROUTE, chance),
        "project_id": subject.project_id,
        "app_id": subject.app_id,
        "deployment_id": subject.deployment_id,
        "environment_id": subject.environment_id,
        "fully_qualified_domain_name": name.fqdn,
        "sticky": name.sticky.value,
        "created_at": now_ms,
        "updated_at": None,
    }
