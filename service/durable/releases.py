"""Releases of workers at Restate: who serves, who only ends what it has begun, and who may go (05 · 4)."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any

import httpx

from service.durable.admin import ENDED, Admin
from service.durable.registered import Deployment, deployments, services

_PROBE_SECONDS = 3.0
_RUNNING = "running"
_PREFIX = "hydra.v1."

# An invocation belongs to the release that first answered it. One that waits for its time or its turn, or that nobody
# has answered yet, belongs to none: it begins on the newest. While a first answer is awaited it may become that one's.
_IN_FLIGHT = f"""
SELECT pinned_deployment_id, last_attempt_deployment_id, target_service_name, target_handler_name, status, count(*) AS n
FROM sys_invocation WHERE status <> '{ENDED}'
GROUP BY pinned_deployment_id, last_attempt_deployment_id, target_service_name, target_handler_name, status
"""  # noqa: S608 - a constant


class Verdict(StrEnum):
    """What is to be done about a release: nothing, wait, start its worker again, or remove it."""

    SERVING = "serving"
    DRAINING = "draining"
    STUCK = "stuck"
    DRAINED = "drained"


@dataclass(frozen=True)
class InFlight:
    """How many invocations of a handler are in one status."""

    service: str
    handler: str
    status: str
    count: int


@dataclass(frozen=True)
class Release:
    """A release with what is in flight on it; `serves` are the services that new calls find there, sorted."""

    deployment: Deployment
    serves: tuple[str, ...]
    in_flight: tuple[InFlight, ...]
    answers: bool

    @property
    def count(self) -> int:
        """How many invocations have begun there and not ended."""
        return sum(each.count for each in self.in_flight)

    @property
    def verdict(self) -> Verdict:
        if self.in_flight and not self.answers:
            return Verdict.STUCK
        if self.serves:
            return Verdict.SERVING
        return Verdict.DRAINING if self.in_flight else Verdict.DRAINED

    @property
    def is_removable(self) -> bool:
        """Tell whether it is ours, nothing leads there any more, and its worker was stopped.

        A worker that runs on, and starts again one day, would register as the newest release of all.
        """
        return bool(self.deployment.release) and self.verdict is Verdict.DRAINED and not self.answers


async def releases(admin: Admin) -> list[Release]:
    """List the releases of our services, whoever's they are, the oldest first. Raises as `Admin.get`."""
    listed, newest, rows = await asyncio.gather(deployments(admin), services(admin), admin.query(_IN_FLIGHT))
    serves: dict[str, list[str]] = {}
    for name, service in sorted(newest.items()):
        serves.setdefault(service.deployment_id, []).append(name)
    in_flight = _by_release(rows)
    concern = [each for each in listed if any(name.startswith(_PREFIX) for name in each.services)]
    answers = await asyncio.gather(*(answers_at(each) for each in concern))
    return [
        Release(each, tuple(serves.get(each.id, ())), tuple(in_flight.get(each.id, ())), answer)
        for each, answer in zip(concern, answers, strict=True)
    ]


async def answers_at(deployment: Deployment) -> bool:
    """Tell whether a worker of that very release answers where it was registered, as seen from here."""
    try:
        async with (
            asyncio.timeout(_PROBE_SECONDS),
            httpx.AsyncClient(timeout=None, trust_env=False) as client,  # noqa: S113 - it has one for each read
        ):
            answer = await client.get(f"{deployment.uri.rstrip('/')}/health")
    except (httpx.RemoteProtocolError, httpx.ReadError):
        return not deployment.release  # somebody who does not speak HTTP/1.1 is there, and that is not us
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError):
        return False
    # Another release at the same address says 503.
    return answer.status_code == HTTPStatus.OK or not deployment.release


async def remove(admin: Admin, release: Release) -> bool:
    """Take a release out of Restate; False where it was gone already. What it served would have no worker then."""
    if not release.is_removable:
        raise ValueError(f"{release.deployment.id} is {release.verdict}")
    return await admin.unregister(release.deployment.id)


def _by_release(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[InFlight]]:
    """Sort what is in flight by the release that it belongs to, and leave out what belongs to none."""
    counts: dict[tuple[str, str, str, str], int] = {}
    for row in rows:
        owner = row.get("pinned_deployment_id")
        if owner is None and row["status"] == _RUNNING:
            owner = row.get("last_attempt_deployment_id")
        if owner is not None:
            what = (owner, row["target_service_name"], row["target_handler_name"], row["status"])
            counts[what] = counts.get(what, 0) + row["n"]
    found: dict[str, list[InFlight]] = {}
    for (owner, service, handler, status), count in sorted(counts.items()):
        found.setdefault(owner, []).append(InFlight(service, handler, status, count))
    return found
