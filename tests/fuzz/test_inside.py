"""Keys and values that no caller inside Restate should use, for the handlers that are not public."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from google.protobuf.message import Message
from hydra.v1 import deployment_pb2, github_status_pb2, openapi_pb2, routing_pb2, versioning_pb2

from service.database import tables
from service.errors import FailedPrecondition, InvalidArgument, NotFound
from tests.fuzz.bounds import LIMIT_S
from tests.fuzz.fuzzer import leak
from tests.fuzz.hostile import INT64S, TEXTS
from tests.fuzz.watch import Watch
from tests.inside_caller import InsideCaller
from tests.installation import Installation

pytestmark = [
    pytest.mark.parametrize("server", ["mariadb"], indirect=True, scope="session"),
    pytest.mark.timeout(LIMIT_S),
]

_ENDLESS_S = 20
_AT_ONCE = 50

CLEAN = (InvalidArgument, NotFound, FailedPrecondition)
KEYS = tuple(text for text in TEXTS if text and len(text) < 1000)


@pytest.fixture(scope="module")
async def inside(installation: Installation) -> AsyncIterator[InsideCaller]:
    async with InsideCaller(installation) as caller:
        yield caller


@dataclass(frozen=True)
class Call:
    service: str
    rpc: str
    key: str
    request: Message

    async def wrong(self, inside: InsideCaller) -> str:
        """Make the call, and tell what is wrong with an error."""
        try:
            async with asyncio.timeout(_ENDLESS_S):
                await inside.call(f"hydra.v1.{self.service}", self.rpc, self.key, self.request)
        except CLEAN as error:
            found = leak(error.message)
            return f"{self}: {found}" if found else ""
        except Exception as error:  # noqa: BLE001 - each is told, and the next call is made
            return f"{self}: {error!r}"
        return ""


async def held(watch: Watch, inside: InsideCaller, calls: list[Call]) -> None:
    await watch.begin()
    found = await wrongs(inside, calls) + await watch.complaints()
    assert not found, "\n".join(found)


async def wrongs(inside: InsideCaller, calls: list[Call]) -> list[str]:
    """Make the calls, many at once, and tell what is wrong."""
    found: list[str] = []
    for start in range(0, len(calls), _AT_ONCE):
        found += await asyncio.gather(*(call.wrong(inside) for call in calls[start : start + _AT_ONCE]))
    return [what for what in found if what]


async def test_values_that_fit_nowhere_are_refused(
    installation: Installation, watch: Watch, inside: InsideCaller
) -> None:
    app = (await installation.world()).app.id
    calls = []
    for text in KEYS:
        calls += [
            Call("RoutingService", "AssignFrontlineRoutes", text, _assign("d_none", text)),
            Call("RoutingService", "AssignFrontlineRoutes", app, _assign(text, text)),
            Call("RoutingService", "SwitchTraffic", app, _switch("op", text)),
            Call("RoutingService", "SwitchTraffic", text, _switch(text, "d_none")),
            Call("RoutingService", "SwitchTraffic", app, _switch(text, "d_none")),
            Call("RoutingService", "RevertTraffic", text, _revert("op", text)),
            Call("OpenapiService", "ScrapeSpec", "", openapi_pb2.ScrapeSpecRequest(deployment_id=text)),
            Call("DeploymentService", "ClearScheduledStateChanges", text, _cleared()),
            Call("DeploymentService", "ChangeDesiredState", text, _change(text)),
            Call("GitHubStatusService", "ReportStatus", text, _report(text)),
            Call("VersioningService", "GetVersion", text, versioning_pb2.GetVersionRequest()),
        ]
    await held(watch, inside, calls)


async def test_numbers_that_mean_nothing_are_refused(watch: Watch, inside: InsideCaller) -> None:
    states = [number for number in INT64S if -(2**31) <= number < 2**31 and number not in (1, 2, 3)]
    calls = [
        Call("DeploymentService", "ScheduleDesiredStateChange", "d_none", _schedule(10**9, state)) for state in states
    ]
    calls += [
        Call("DeploymentService", "ScheduleDesiredStateChange", "d_none", _schedule(delay, 2))
        for delay in INT64S
        if delay < 0 or delay > 10**9
    ]
    calls += [Call("RoutingService", "SwitchTraffic", "app", _switch("op", "d_none", kind)) for kind in states]
    await held(watch, inside, calls)


async def test_a_region_of_any_name_gets_numbers_or_is_refused(
    installation: Installation, watch: Watch, inside: InsideCaller
) -> None:
    """Also where a database takes one name for another: é for e, upper for lower case, a space at the end for none."""
    await watch.begin()
    names = (*KEYS, "Region", "region", "r\u00e9gion", "region ", "r" * 1000)
    calls = [Call("VersioningService", "NextVersion", name, versioning_pb2.NextVersionRequest()) for name in names]
    found = await wrongs(inside, calls)
    counted = {row["region_id"] for row in await installation.rows(tables.hydra_region_versions)}
    found += await watch.complaints()

    assert [what for what in found if not what.startswith(tables.hydra_region_versions.name)] == []
    assert len({"Region", "region", "r\u00e9gion", "region "} & counted) == 1


def _schedule(delay_ms: int, state: Any) -> Message:
    return deployment_pb2.ScheduleDesiredStateChangeRequest(delay_millis=delay_ms, state=state)


def _assign(deployment_id: str, route_id: str) -> Message:
    return routing_pb2.AssignFrontlineRoutesRequest(deployment_id=deployment_id, frontline_route_ids=[route_id])


def _switch(operation_id: str, deployment_id: str, kind: Any = routing_pb2.TRAFFIC_SWITCH_KIND_DEPLOY) -> Message:
    return routing_pb2.SwitchTrafficRequest(operation_id=operation_id, deployment_id=deployment_id, kind=kind)


def _revert(operation_id: str, deployment_id: str) -> Message:
    return routing_pb2.RevertTrafficRequest(operation_id=operation_id, deployment_id=deployment_id)


def _cleared() -> Message:
    return deployment_pb2.ClearScheduledStateChangesRequest()


def _change(nonce: str) -> Message:
    return deployment_pb2.ChangeDesiredStateRequest(nonce=nonce, state=deployment_pb2.DEPLOYMENT_DESIRED_STATE_STANDBY)


def _report(description: str) -> Message:
    state = github_status_pb2.GITHUB_DEPLOYMENT_STATE_SUCCESS
    return github_status_pb2.GitHubStatusReportRequest(state=state, description=description)
