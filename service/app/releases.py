"""What is done about releases: waiting until an old one has ended what it began, and removing it."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta

from service.durable.admin import Admin
from service.durable.releases import Release, Verdict, releases, remove

_LOOK_SECONDS = 0.5
_UNDER_WAY = (Verdict.DRAINING, Verdict.STUCK)


async def drain(admin: Admin, within: timedelta, tell: Callable[[Sequence[Release]], None]) -> list[Release]:
    """Wait until nothing is in flight on releases that serve nothing, for `within` at most; returns the last look.

    `tell` is called at first and whenever the numbers change. Raises as `Admin.get`.
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + within.total_seconds()
    told: list[tuple[str, int]] | None = None
    while True:
        found = await releases(admin)
        left = under_way(found)
        counts = [(each.deployment.id, each.count) for each in left]
        if counts != told:
            tell(left)
            told = counts
        if not left or clock() >= deadline:
            return found
        await asyncio.sleep(_LOOK_SECONDS)


def under_way(found: Sequence[Release]) -> list[Release]:
    """Pick the releases that serve nothing, and have yet to end what they have begun."""
    return [each for each in found if not each.serves and each.verdict in _UNDER_WAY]


async def remove_drained(admin: Admin, found: Sequence[Release]) -> list[Release]:
    """Take the releases of ours that are drained out of Restate, and return them. Raises as `Admin.get`."""
    return [each for each in found if each.is_removable and await remove(admin, each)]
