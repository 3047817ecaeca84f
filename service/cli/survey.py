"""What a sweep of idle previews would do now: the fate of every preview that runs."""

from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from service.analytics.requests import RequestLog
from service.database import places, previews
from service.database.engine import Database
from service.database.previews import Candidate
from service.workflow.scale_down import called_since


class Fate(StrEnum):
    """What would become of a preview, and why."""

    IDLE = "idle"
    ACTIVE = "active"
    LIVE = "live"
    RECENT = "recent"


@dataclass(frozen=True)
class Surveyed:
    """A preview that runs; `app` is a path, or an id where the app is gone."""

    deployment_id: str
    app: str
    fate: Fate


async def survey(database: Database, requests: RequestLog, cutoff_ms: int) -> list[Surveyed]:
    """Go through all pages as the sweep does; only what is idle would be put to standby.

    Raises FailedPrecondition where nobody counts requests, or where something is idle by a log that stands still, and
    Transient where nobody can tell now.
    """
    await requests.active([], since_ms=cutoff_ms)
    surveyed: list[Surveyed] = []
    after_pk = 0
    while True:
        page = await database.read(partial(previews.page, after_pk=after_pk, cutoff_ms=cutoff_ms))
        if page.cursor is None:
            return surveyed
        read = partial(previews.passed_over, after_pk=after_pk, cursor=page.cursor, cutoff_ms=cutoff_ms)
        passed = await database.read(read)
        active = await called_since(requests, page.candidates, cutoff_ms)
        if any(candidate.deployment_id not in active for candidate in page.candidates):
            await requests.require_alive()
        found = [(old.app_id, old.deployment_id, _fate(old, active)) for old in page.candidates]
        found += [(new.app_id, new.deployment_id, Fate.LIVE if new.is_live else Fate.RECENT) for new in passed]
        paths = await database.read(partial(places.paths, app_ids={app_id for app_id, _, _ in found}))
        surveyed += [Surveyed(deployment_id, paths.get(app_id, app_id), fate) for app_id, deployment_id, fate in found]
        after_pk = page.cursor


def _fate(candidate: Candidate, active: set[str]) -> Fate:
    return Fate.ACTIVE if candidate.deployment_id in active else Fate.IDLE
