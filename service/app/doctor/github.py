"""GitHub: whether it takes the App, how much may be asked of it, and whether it keeps the same time."""

from collections.abc import Iterator

from service.app.building import github_settings
from service.app.doctor.checks import Examination, Finding, Part, reading_of
from service.clock import now_ms
from service.config import Settings
from service.errors import HydraError, Transient
from service.github.status import Standing, standing

PART = Part("github")

_FEW = 0.1  # of the limit


async def examine(settings: Settings) -> Examination:
    """Ask who we are. Installations, and what they may do, are looked at when one is needed."""
    given = github_settings(settings)
    if not given.app_id and not given.allow_unauthenticated:
        yield PART.off("app", "github.app_id is not set: nothing is built from GitHub, and nothing reported there")
        return
    asked_ms = now_ms()
    try:
        found = await standing(given)
    except Transient as error:
        advice = "see that this machine reaches github.api_url; lookups are tried again, reports wait"
        yield PART.fault("app", f"{error.message}, at {given.api_url}", advice)
        return
    except HydraError as error:
        yield PART.fault("app", error.message, "set github.private_key_pem to a key of the App")
        return
    if not given.app_id:
        yield PART.off("app", "github.app_id is not set: public repositories are built, nothing is reported")
    elif found.app:
        yield PART.ok("app", f"{given.api_url} knows it as {found.app!r}")
    else:
        advice = "see that github.app_id and github.private_key_pem belong together, and that the clock is right"
        yield PART.fault("app", f"{given.api_url} refuses the App {given.app_id}", advice)
    yield PART.clock(reading_of(found.date, asked_ms))
    for finding in _limit(found):
        yield finding


def _limit(found: Standing) -> Iterator[Finding]:
    if found.limit <= 0 or found.left < 0:
        return
    said = f"{found.left} of {found.limit} requests are left in this hour"
    if found.left < _FEW * found.limit:
        yield PART.warning("rate limit", said, "see who else asks in the App's name; lookups wait when none is left")
    else:
        yield PART.ok("rate limit", said)
