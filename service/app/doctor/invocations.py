"""What stands still at Restate: paused, failing again and again, or with nobody there to go on with it."""

from collections.abc import Iterable, Iterator

from service.app.doctor.checks import Examination, Finding, Part
from service.durable.admin import Admin, Invocation
from service.durable.releases import Release, Verdict

PART = Part("restate")

_MANY_TRIES = 10  # by then Restate waits half a minute between two
_SHOWN = 3
_SAID = 160  # characters


def of_releases(releases: Iterable[Release]) -> Iterator[Finding]:
    """Say which releases hold invocations that nobody is there to end."""
    stuck = [each for each in releases if each.verdict is Verdict.STUCK]
    for release in stuck:
        yield PART.fault(
            "releases",
            f"{release.count} in flight on {release.deployment.uri}, where nobody answers",
            "start the worker of that release again, at that address, until `hydra-deploy releases` says drained",
        )
    if not stuck:
        yield PART.ok("releases", "whatever is in flight has its worker")


async def findings(admin: Admin) -> Examination:
    """Look for invocations that are paused, or were tried many times. Raises as `Admin.get`."""
    paused = await admin.invocations("status = 'paused' ORDER BY created_at LIMIT 100")
    tried = await admin.invocations(
        f"status <> 'completed' AND status <> 'paused' AND retry_count >= {_MANY_TRIES} ORDER BY created_at LIMIT 100"
    )
    if paused:
        advice = "see to the cause, then PATCH /invocations/<id>/resume, or run `hydra-deploy reconcile`"
        yield PART.fault("invocations", f"{_counted(paused)} paused: {_listed(paused)}", advice)
    if tried:
        last = next((each.failure for each in tried if each.failure), "the server does not say why")
        said = " ".join(last.split())[:_SAID]
        yield PART.warning(
            "invocations",
            f"{_counted(tried)} tried {_MANY_TRIES} times and more: {_listed(tried)}; the last failure: {said}",
            "the worker's log says why a step is retried; docs/operations.md has what to do",
        )
    if not paused and not tried:
        yield PART.ok("invocations", "none is paused, none is tried again and again")


def _counted(found: list[Invocation]) -> str:
    return f"{len(found)}{' or more' if len(found) == 100 else ''} {'is' if len(found) == 1 else 'are'}"  # noqa: PLR2004 - as the query's


def _listed(found: list[Invocation]) -> str:
    named = [f"{each.service.removeprefix('hydra.v1.')}/{each.handler} {each.id}" for each in found[:_SHOWN]]
    return ", ".join(named) + (", ..." if len(found) > _SHOWN else "")
