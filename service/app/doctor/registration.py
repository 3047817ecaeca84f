"""What is registered at Restate: whether all that calls need is served, by whom, and how Restate treats it."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from service.app.doctor.checks import Finding, Part
from service.app.services import KEYS, OURS_ALONE, handling_of, is_public, names_served
from service.config import Settings
from service.config.values import format_duration
from service.durable.binding import HandlerOptions
from service.durable.registered import Registered
from service.durable.releases import Release
from service.release import release_id

PART = Part("restate")

_KEPT = timedelta(hours=1)
_SPARED = "reconcile"
_AGAIN = 'POST /deployments {"uri": "<its address>", "force": true} to Restate\'s admin API'


def findings(settings: Settings, releases: Sequence[Release], services: Mapping[str, Registered]) -> Iterator[Finding]:
    """Say which services nobody serves, or who must not; and whether the newest release is of this very code."""
    by_id = {each.deployment.id: each for each in releases}
    served = {
        name: by_id[service.deployment_id] for name, service in services.items() if service.deployment_id in by_id
    }
    missing = [name for name in KEYS if name not in served]
    for name in missing:
        yield _missing(settings, name)
    for name in sorted(OURS_ALONE & served.keys()):
        if not served[name].deployment.release:
            yield PART.fault(
                "services",
                f"{name} is served by {served[name].deployment.uri}, which is not of this service",
                f"serve it here (services.{KEYS[name]} = true): other workers lack its additions, and deploys hang",
            )
    if not missing:
        yield PART.ok("services", f"all {len(KEYS)} are registered")
    yield _newest(settings, releases)
    for release in releases:
        if release.serves and not release.answers:
            yield PART.fault(
                "endpoint",
                f"nobody answers at {release.deployment.uri}, where calls of {_named(release.serves)} go",
                "start a worker of that release there, or of a new one: its invocations wait",
            )


def _missing(settings: Settings, name: str) -> Finding:
    """Say what becomes of a service that nobody serves: all but one are called by deploys."""
    key = KEYS[name]
    if getattr(settings.services, key):
        return PART.fault(
            "services", f"{name} is not registered", "start a worker; if one runs, see why it does not register"
        )
    if key == _SPARED:
        return PART.off("services", f"services.{key} is false, and nobody serves {name}: nobody finds what is stuck")
    advice = f"register the worker that is to serve it, or set services.{key} = true: what calls it hangs until then"
    return PART.fault("services", f"{name} is left out (services.{key} = false), and nobody serves it", advice)


def _newest(settings: Settings, releases: Sequence[Release]) -> Finding:
    ours = [each for each in releases if each.deployment.release]
    mine = release_id(names_served(settings.services))
    if not ours:
        return PART.fault("release", f"no release of this service is registered, this one is {mine}", "start a worker")
    newest = ours[-1].deployment
    if newest.release == mine:
        return PART.ok("release", f"{mine}, this one, is the newest: {newest.uri}")
    return PART.warning(
        "release",
        f"{newest.release} is the newest, this one is {mine}: {newest.uri}",
        "run the command of the release that serves, with its configuration; or roll this one out",
    )


def treatment(settings: Settings, releases: Sequence[Release], services: Mapping[str, Registered]) -> Iterator[Finding]:
    """Compare how Restate treats our services with what this release asks for: a registration stays as it was."""
    ours = {each.deployment.id for each in releases if each.deployment.release}
    differing = 0
    for name, service in sorted(services.items()):
        if service.deployment_id not in ours:
            continue
        if service.public and not is_public(name):
            yield PART.warning("privacy", f"{name} is open to callers of the ingress", f"register it again: {_AGAIN}")
        if not service.public and is_public(name):
            yield PART.fault("privacy", f"{name} is closed to callers of the ingress", f"register it again: {_AGAIN}")
        differences = _differences(handling_of(settings, name), service) if name in KEYS else ()
        if said := "; ".join((*differences, *service.notes)):
            differing += 1
            yield PART.warning("settings", f"{name}: {said}", f"register its release again: {_AGAIN}")
    if ours and not differing:
        yield PART.ok("settings", "retries and timeouts are as this release asks for")


def retention(settings: Settings, services: Mapping[str, Registered]) -> Iterator[Finding]:
    """Say for how long Restate knows how a deploy ended: so long a caller who lost the line may come back for it."""
    kept = [each.results_retention for name, each in services.items() if is_public(name) and name in KEYS]
    shortest = min((time for time in kept if time is not None), default=None)
    if shortest is None:
        return
    said = f"Restate keeps the results of deploys for {format_duration(shortest)}"
    needed = max(_KEPT, settings.deploy.health_timeout)
    if shortest < needed:
        yield PART.warning("retention", said, f"let it keep them for {format_duration(needed)} at least")
    else:
        yield PART.ok("retention", said)


def _differences(wanted: HandlerOptions, found: Registered) -> Iterator[str]:
    retries = wanted.retries
    compared: dict[str, tuple[object, object]] = {
        "inactivity timeout": (wanted.inactivity_timeout, found.inactivity_timeout),
        "abort timeout": (wanted.abort_timeout, found.abort_timeout),
        "first retry after": (retries.initial_interval, found.retries.first),
        "retries grow by": (retries.exponentiation_factor, found.retries.factor),
        "longest pause": (retries.max_interval, found.retries.longest),
        "attempts": (retries.max_attempts, found.retries.attempts),
        "then": (retries.on_max_attempts, found.retries.then),
    }
    for what, (asked, got) in compared.items():
        if asked != got:
            yield f"{what} {_written(got)} where this release asks for {_written(asked)}"


def _written(value: object) -> str:
    if isinstance(value, timedelta):
        return format_duration(value)
    return "the server's own" if value is None else str(value)


def _named(services: Sequence[str]) -> str:
    return services[0] if len(services) == 1 else f"{len(services)} services"
