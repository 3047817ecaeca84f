"""A Go handler that calls the service from inside Restate, as a webhook worker does."""

import json
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from service.database import tables
from service.dev.ports import free_port
from service.dev.process import Process
from service.durable.registration import Registration
from tests.installation import IMAGE, Installation
from tests.waiting import until

pytestmark = pytest.mark.parametrize("server", ["mariadb"], indirect=True, scope="session")

DEPLOY, ROLLBACK, PROMOTE = "DeployService/Deploy", "DeployService/Rollback", "DeployService/Promote"
SWEEP = "DeployService/ScaleDownIdlePreviewDeployments"
EMPTY: dict[str, Any] = {"response": {}}
DELAY_MS = 1000


class Webhook:
    """The Go program, known to the installation's Restate."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation

    async def __call__(self, handler: str, rpc: str, request: Any, **order: Any) -> Any:
        """Let one of its handlers call an rpc, and return what it saw: `order` is the rest of the program's order."""
        wanted = {"rpc": rpc, "request": request, **order}
        answer = await self._installation.ingress(f"/interop.Webhook/{handler}", wanted)
        assert answer.status == 200, answer.body
        return answer.body


@pytest.fixture(scope="module")
async def webhook(
    installation: Installation, programs: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Webhook]:
    """Serve the Go handlers, registered at the installation's Restate."""
    address, log = f"127.0.0.1:{free_port()}", tmp_path_factory.mktemp("webhook") / "webhook.log"
    program = Process.start("the webhook", [programs / "webhook", "-listen", address], log, {})
    try:
        await Registration(installation.stack.restate.admin_url, f"http://{address}").register()
        yield Webhook(installation)
    finally:
        await program.stop()


def image(deployment_id: str) -> dict[str, Any]:
    """Ask for a deploy of the image."""
    return {"deploymentId": deployment_id, "dockerImage": {"image": IMAGE}}


async def received(installation: Installation, invocation_id: str) -> dict[str, Any]:
    """Read the headers and the payload of a call, as our handler gets them."""
    query = f"select entry_json from sys_journal where id = '{invocation_id}' and index = 0"
    (entry,) = await installation.admin_query(query)
    got: dict[str, Any] = json.loads(entry["entry_json"])["Command"]["Input"]
    return got


async def test_a_handler_waits_for_every_rpc(installation: Installation, webhook: Webhook) -> None:
    world = await installation.world()
    first = await installation.deployed(world)
    second = await installation.deployment(world)
    name = f"shop-{world.workspace_slug}"

    assert await webhook("Call", DEPLOY, image(second), key=world.project_id) == EMPTY
    assert await installation.status(second) == "ready"
    assert (await installation.routes(world))[name] == second

    back = {"sourceDeploymentId": second, "targetDeploymentId": first}
    assert await webhook("Call", ROLLBACK, back, key=world.project_id) == EMPTY
    assert (await installation.routes(world))[name] == first
    assert await webhook("Call", PROMOTE, {"targetDeploymentId": second}, key=world.project_id) == EMPTY
    assert (await installation.routes(world))[name] == second
    assert (await webhook("Call", SWEEP, {}, key="cron"))["code"] == 400  # without a ClickHouse


@pytest.mark.parametrize("binary", [False, True], ids=["protojson", "protobuf"])
async def test_calls_from_inside_have_no_content_type_and_are_read_all_the_same(
    installation: Installation, webhook: Webhook, binary: bool
) -> None:
    world = await installation.world()
    deployment_id = await installation.deployment(world)

    done = await webhook("SendAndAttach", DEPLOY, image(deployment_id), key=world.workspace_id, binary=binary)

    assert done["response"] == {}
    got = await received(installation, done["invocation"])
    assert got["headers"] == []
    assert bytes(got["payload"]).startswith(b"{") is not binary
    assert await installation.status(deployment_id) == "ready"


async def test_a_push_that_is_heard_twice_is_one_deploy_begun_when_it_is_due(
    installation: Installation, webhook: Webhook
) -> None:
    world = await installation.world()
    deployment_id = await installation.deployment(world)
    mine = {"key": world.workspace_id, "idempotencyKey": f"push-{uuid.uuid4()}", "delayMs": DELAY_MS}

    first = await webhook("Send", DEPLOY, image(deployment_id), **mine)
    second = await webhook("Send", DEPLOY, image("d_of_nobody"), **mine)

    assert first == second

    async def ready() -> bool:
        return await installation.status(deployment_id) == "ready"

    await until(ready)
    (operation,) = await installation.rows(tables.hydra_operations, deployment_id=deployment_id)
    assert operation["id"] == first["invocation"]
    query = f"select created_at, invoked_by_target from sys_invocation where id = '{first['invocation']}'"
    (sent,) = await installation.admin_query(query)
    assert sent["invoked_by_target"] == "interop.Webhook/Send"
    began_at = datetime.fromtimestamp(operation["started_at"] / 1000, UTC)
    waited = began_at - datetime.fromisoformat(sent["created_at"])
    assert waited >= timedelta(milliseconds=DELAY_MS - 10)  # less the rounding of two clocks


@pytest.mark.parametrize("handler", ["Call", "SendAndAttach"])
async def test_terminal_errors_have_their_codes(installation: Installation, webhook: Webhook, handler: str) -> None:
    poor = await installation.world(quota_cpu_millicores=10)
    live = await installation.deployed(await installation.world())
    refused = [
        await webhook(handler, DEPLOY, {"deploymentId": "d_1"}, key="k"),
        await webhook(handler, DEPLOY, image("d_of_nobody"), key="k"),
        await webhook(handler, PROMOTE, {"targetDeploymentId": live}, key="k"),
        await webhook(handler, DEPLOY, image(await installation.deployment(poor)), key="k"),
    ]
    assert [error["code"] for error in refused] == [400, 404, 400, 429]
    assert refused[1]["message"] == "[404] the deployment 'd_of_nobody' does not exist"


async def test_a_deploy_that_is_cancelled_is_a_conflict_to_the_handler(
    installation: Installation, webhook: Webhook
) -> None:
    world = await installation.world()
    deployment_id = await installation.deployment(world)
    mine = {"key": "k", "idempotencyKey": f"push-{deployment_id}"}
    async with installation.held("reserve names.before"):
        sent = await webhook("Send", DEPLOY, image(deployment_id), **mine)

        async def begun() -> bool:
            return bool(await installation.rows(tables.hydra_operations, deployment_id=deployment_id))

        await until(begun)
        await installation.cancel(sent["invocation"])

    cancelled = await webhook("SendAndAttach", DEPLOY, image(deployment_id), **mine)
    assert (cancelled["invocation"], cancelled["code"]) == (sent["invocation"], 409)
    assert await installation.status(deployment_id) == "failed"


async def test_private_services_answer_a_worker_that_was_left_behind(
    installation: Installation, webhook: Webhook
) -> None:
    """What a Go worker asks of ours, while an installation moves over one service at a time."""
    world = await installation.world()
    deployment_id = await installation.deployed(world)
    region_id = world.regions["us-east-1"].id

    before = await webhook("Call", "VersioningService/GetVersion", {}, key=region_id)
    after = await webhook("Call", "VersioningService/NextVersion", {}, key=region_id)
    assert int(before["response"]["version"]) < int(after["response"]["version"])

    later = {"delayMillis": "3600000", "state": "DEPLOYMENT_DESIRED_STATE_ARCHIVED"}
    assert await webhook("Call", "DeploymentService/ScheduleDesiredStateChange", later, key=deployment_id) == EMPTY
    assert await webhook("Call", "DeploymentService/ClearScheduledStateChanges", {}, key=deployment_id) == EMPTY

    other = await installation.deployment(world)
    routes = await installation.rows(tables.frontline_routes, app_id=world.app.id)
    taken = {"deploymentId": other, "frontlineRouteIds": [routes[0]["id"]]}
    assert await webhook("Call", "RoutingService/AssignFrontlineRoutes", taken, key=world.app.id) == EMPTY
    moved = await installation.row(tables.frontline_routes, id=routes[0]["id"])
    assert moved["deployment_id"] == other

    begun = {"installationId": "9007199254740993", "repo": "acme/shop", "commitSha": "0" * 40, "isProduction": True}
    assert await webhook("Call", "GitHubStatusService/Init", begun, key=deployment_id) == EMPTY
    reported = {"state": "GITHUB_DEPLOYMENT_STATE_SUCCESS", "description": "ready"}
    assert await webhook("Call", "GitHubStatusService/ReportStatus", reported, key=deployment_id) == EMPTY
    unknown = await webhook("Call", "OpenapiService/ScrapeSpec", {"deploymentId": "d_of_nobody"})
    assert unknown["code"] == 404
