"""What Restate has registered: releases of workers, and the services that they brought (05 · 4)."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from service.durable.admin import Admin, understood

# What `release_id` names, at the end of the address that a worker registers as.
_OURS = re.compile(r"/r/([0-9a-f]{12})/?")

# As Restate writes durations: `1h 30m`, `100ms`, `1day` (https://docs.rs/humantime).
_PART = re.compile(r"\s*(\d+)\s*([a-zµ]+)")
_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
_LONG = {"sec": "s", "secs": "s", "min": "m", "mins": "m", "hour": "h", "hours": "h", "day": "d", "days": "d"}


@dataclass(frozen=True)
class Deployment:
    """A worker's address as it was registered, a deployment in Restate's words, and the services that it brought."""

    id: str
    uri: str
    created_at_ms: int
    services: frozenset[str]

    @property
    def release(self) -> str:
        """Which release of this service that is (`release_id`); empty for a worker that is not ours."""
        found = _OURS.search(self.uri)
        return found[1] if found and found.end() == len(self.uri) else ""


@dataclass(frozen=True)
class Retries:
    """How often and how fast Restate tries an invocation again; None where it is for ever."""

    first: timedelta | None
    factor: float
    longest: timedelta | None
    attempts: int | None
    then: str


@dataclass(frozen=True)
class Registered:
    """A service as Restate treats it: its newest revision. Times are None where the server's own hold.

    `notes` is what Restate has to say about its settings, such as that one of them is of no effect.
    """

    name: str
    deployment_id: str
    handlers: frozenset[str]
    public: bool
    inactivity_timeout: timedelta | None
    abort_timeout: timedelta | None
    results_retention: timedelta | None
    retries: Retries
    notes: tuple[str, ...]


async def deployments(admin: Admin) -> list[Deployment]:
    """List all that is registered, the oldest first. Raises as `Admin.get`."""
    answer = await admin.get("/deployments")
    with understood():
        found = [_deployment(each) for each in answer["deployments"]]
    return sorted(found, key=lambda each: (each.created_at_ms, each.id))


async def services(admin: Admin) -> dict[str, Registered]:
    """Return the services that calls get to, by name. Raises as `Admin.get`."""
    answer = await admin.get("/services")
    with understood():
        return {each["name"]: _service(each) for each in answer["services"]}


def duration(text: str | None) -> timedelta | None:
    """Read a duration of Restate's; None where there is none, or none that can be read."""
    parts = _PART.findall(text or "")
    known = [(int(number), _UNITS.get(_LONG.get(unit, unit))) for number, unit in parts]
    if not known or any(unit is None for _, unit in known):
        return None
    return sum((number * unit for number, unit in known if unit is not None), timedelta())


def _deployment(listed: Mapping[str, Any]) -> Deployment:
    return Deployment(
        id=listed["id"],
        uri=listed.get("uri") or listed.get("arn", ""),
        created_at_ms=_milliseconds(listed["created_at"]),
        services=frozenset(_names(listed["services"])),
    )


def _service(listed: Mapping[str, Any]) -> Registered:
    policy = listed.get("retry_policy") or {}
    return Registered(
        name=listed["name"],
        deployment_id=listed["deployment_id"],
        handlers=frozenset(_names(listed["handlers"])),
        public=listed["public"],
        inactivity_timeout=duration(listed.get("inactivity_timeout")),
        abort_timeout=duration(listed.get("abort_timeout")),
        results_retention=duration(listed.get("idempotency_retention")),
        retries=Retries(
            first=duration(policy.get("initial_interval")),
            factor=policy.get("exponentiation_factor", 1.0),
            longest=duration(policy.get("max_interval")),
            attempts=policy.get("max_attempts"),
            then=str(policy.get("on_max_attempts", "")).lower(),
        ),
        notes=tuple(f"{note['message']} [{note['code']}]" for note in listed.get("info") or ()),
    )


def _names(listed: Iterable[Mapping[str, Any]]) -> list[str]:
    return [each["name"] for each in listed]


def _milliseconds(moment: str) -> int:
    seconds, _, fraction = moment.removesuffix("Z").partition(".")  # it has nanoseconds, which Python does not read
    return round(datetime.fromisoformat(seconds).replace(tzinfo=UTC).timestamp()) * 1000 + int(f"{fraction:0<3}"[:3])
