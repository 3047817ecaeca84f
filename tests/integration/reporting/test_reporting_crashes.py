"""The worker killed, and GitHub's answer lost, in the middle of a report: all is there once, and the end is right.

`after` a step is between its effect and its journal entry. Every point, over both databases, with HYDRA_TEST_FULL=1.
"""

import asyncio
import os

import grpc.aio
import pytest

from service.database import tables
from tests.installation import Installation
from tests.reporting_site import Connected, ReportingSite, handlers, table, told
from tests.servers.github_faults import End, Fault
from tests.waiting import until

FULL = bool(os.environ.get("HYDRA_TEST_FULL"))
POINTS = ["before", "after"] if FULL else ["after"]
pytestmark = pytest.mark.parametrize("server", ["sqlite", "mariadb"] if FULL else ["sqlite"], indirect=True)
IN_ORDER = ["pending", "in_progress", "success"]

# The steps of the first report of a deployment with a pull request, and those that are left to the last one.
FIRST = ["look at deployment", "open GitHub deployment", "report status", "find pull request", "write comment"]
LAST = ["look at deployment", "report status", "write comment"] if FULL else ["report status", "write comment"]
IN_DEPLOY = ["start deployment.after", "save image.before", "save image.after", "switch traffic.after"]

WORK = [
    ("POST", "/deployments"),
    ("POST", "/deployments/*/statuses"),
    ("POST", "/issues/*/comments"),
    ("PATCH", "/issues/comments/*"),
]


async def reported(installation: Installation, deployment_id: str, count: int) -> None:
    """Wait until so many handlers have reported the deployment: its own, and those that put its rows."""

    async def all_are() -> bool:
        found = await handlers(installation, deployment_id)
        return [row["status"] for row in found] == ["completed"] * count

    await until(all_are)


def begin(site: ReportingSite, deployment_id: str) -> asyncio.Task[None]:
    return asyncio.create_task(site.installation.deploy(deployment_id, timeout=60))


async def outlive(site: ReportingSite, deployment_id: str, call: asyncio.Task[None]) -> None:
    """Start another worker when this one has killed itself, and wait until the deploy and its reports are over."""

    async def is_dead() -> bool:
        return site.installation.stack.worker.exit_code is not None

    await until(is_dead)
    await asyncio.wait({call})  # a deploy may have been over before its report was
    assert call.exception() is None or isinstance(call.exception(), grpc.aio.AioRpcError)
    await site.installation.stack.start_worker()
    await site.deploy(deployment_id)


async def assert_all_is_there_once(site: ReportingSite, connected: Connected, deployment_id: str) -> None:
    deployment = await site.shown(connected, deployment_id)
    assert connected.repository.deployments == [deployment]
    assert [status.state for status in deployment.statuses] == IN_ORDER
    (comment,) = connected.repository.all_comments.values()
    (row,) = table(comment.body)
    assert "Ready" in row.status
    assert row.inspect_url.endswith(deployment_id)


async def with_pull_request(site: ReportingSite) -> Connected:
    connected = await site.connected()
    connected.repository.open_pull_request(connected.branch)
    return connected


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("step", FIRST)
async def test_killed_in_the_first_report(reporting: ReportingSite, step: str, point: str) -> None:
    connected = await with_pull_request(reporting)
    deployment_id = await reporting.deployment(connected)
    reporting.installation.kill_at(f"{step}.{point}")

    await outlive(reporting, deployment_id, begin(reporting, deployment_id))

    await assert_all_is_there_once(reporting, connected, deployment_id)


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("step", LAST)
async def test_killed_in_the_last_report(reporting: ReportingSite, step: str, point: str) -> None:
    connected = await with_pull_request(reporting)
    deployment_id = await reporting.deployment(connected)
    async with reporting.installation.held("save image.before"):
        call = begin(reporting, deployment_id)
        await reported(reporting.installation, deployment_id, 4)
        reporting.installation.kill_at(f"{step}.{point}")

    await outlive(reporting, deployment_id, call)

    await assert_all_is_there_once(reporting, connected, deployment_id)


@pytest.mark.parametrize("point", IN_DEPLOY if FULL else IN_DEPLOY[1:3])
async def test_killed_in_the_deploy_itself(reporting: ReportingSite, point: str) -> None:
    """`save image` is the step after which the reports begin to be sent."""
    connected = await with_pull_request(reporting)
    deployment_id = await reporting.deployment(connected)
    reporting.installation.kill_at(point)

    await outlive(reporting, deployment_id, begin(reporting, deployment_id))

    await assert_all_is_there_once(reporting, connected, deployment_id)


@pytest.mark.parametrize(("method", "path"), WORK)
async def test_an_answer_that_is_lost_when_the_work_is_done(reporting: ReportingSite, method: str, path: str) -> None:
    connected = await with_pull_request(reporting)
    deployment_id = await reporting.deployment(connected)
    lost = Fault(done_first=True, end=End.CLOSE)
    reporting.github.faults.plan(f"/repos/{connected.repository.full_name}{path}", lost, times=2, method=method)

    await reporting.deploy(deployment_id)

    await assert_all_is_there_once(reporting, connected, deployment_id)


# -------------------------------------------------------------------------------------------- an attempt after another


async def test_an_attempt_that_lost_the_deployment_says_nothing_of_its_end(reporting: ReportingSite) -> None:
    installation = reporting.installation
    connected = await with_pull_request(reporting)
    deployment_id = await reporting.deployment(connected)
    async with installation.held("save image.before"):
        call = begin(reporting, deployment_id)
        await reported(installation, deployment_id, 4)
        operation_id = await installation.operation(deployment_id)
        newer = {"operation_id": "inv_newer", "attempt": 2}
        await installation.set(tables.hydra_deployment_attempts, {"deployment_id": deployment_id}, **newer)

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call

    assert raised.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert await told(installation, operation_id) == ["Init", "ReportStatus"]
    assert [status.state for status in (await reporting.shown(connected, deployment_id)).statuses] == IN_ORDER[:2]


async def test_an_attempt_after_one_that_was_killed_goes_on_with_the_same(reporting: ReportingSite) -> None:
    installation = reporting.installation
    connected = await with_pull_request(reporting)
    deployment_id = await reporting.deployment(connected)
    async with installation.held("provision regions.before"):
        call = begin(reporting, deployment_id)
        await reported(installation, deployment_id, 4)
        await installation.kill(await installation.operation(deployment_id))
        with pytest.raises(grpc.aio.AioRpcError):
            await call

    await reporting.deploy(deployment_id)

    deployment = await reporting.shown(connected, deployment_id)
    assert connected.repository.deployments == [deployment]
    assert [status.state for status in deployment.statuses] == [*IN_ORDER[:2], *IN_ORDER]
    (comment,) = connected.repository.all_comments.values()
    assert ["Ready" in row.status for row in table(comment.body)] == [True]
