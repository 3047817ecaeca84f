"""A Go caller of Restate's ingress, with generated clients and Restate's Go SDK: what existing callers are made of."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from service.database import tables
from service.dev.world import World
from tests.installation import IMAGE, Installation
from tests.interop_programs import IngressCaller, ingress_caller
from tests.waiting import until

pytestmark = pytest.mark.parametrize("server", ["mariadb"], indirect=True, scope="session")

DEPLOY, ROLLBACK, PROMOTE = "DeployService/Deploy", "DeployService/Rollback", "DeployService/Promote"
SWEEP = "DeployService/ScaleDownIdlePreviewDeployments"
DELAY_MS = 1000
EMPTY: dict[str, Any] = {"response": {}}


@pytest.fixture(scope="module")
async def go(installation: Installation, programs: Path) -> AsyncIterator[IngressCaller]:
    async with ingress_caller(programs, installation.stack.restate.ingress_url) as caller:
        yield caller


def image(deployment_id: str, **more: Any) -> dict[str, Any]:
    """Ask for a deploy of the image."""
    return {"deploymentId": deployment_id, "dockerImage": {"image": IMAGE}, **more}


async def invocation(installation: Installation, invocation_id: str) -> dict[str, Any]:
    (found,) = await installation.admin_query(f"select * from sys_invocation where id = '{invocation_id}'")
    return found


async def operations(installation: Installation, deployment_id: str) -> list[dict[str, Any]]:
    return await installation.rows(tables.hydra_operations, deployment_id=deployment_id)


async def until_begun(installation: Installation, deployment_id: str) -> None:
    async def begun() -> bool:
        return bool(await operations(installation, deployment_id))

    await until(begun)


async def live_route(installation: Installation, world: World) -> str:
    """Read which deployment the app's own name leads to."""
    return (await installation.routes(world))[f"shop-{world.workspace_slug}"]


# ------------------------------------------------------------------------------------------------------------- calls


@pytest.mark.parametrize("key", ["workspace_id", "project_id", "a random one"])
async def test_a_call_answers_at_the_deploys_end(installation: Installation, go: IngressCaller, key: str) -> None:
    """The reference's callers do not agree on the object's key (01 · 2)."""
    world = await installation.world()
    deployment_id = await installation.deployment(world)
    more = {"keyAuthId": "ks_1", "command": ["serve"]} if key == "workspace_id" else {}

    request = image(deployment_id, **more)
    assert await go("call", DEPLOY, request, key=str(getattr(world, key, "01J9ZC6T"))) == EMPTY

    assert await installation.status(deployment_id) == "ready"
    assert await live_route(installation, world) == deployment_id
    assert len(await operations(installation, deployment_id)) == 1


async def test_traffic_goes_back_and_forward_again(installation: Installation, go: IngressCaller) -> None:
    world = await installation.world()
    first, second = await installation.deployed(world), await installation.deployed(world)

    back = {"sourceDeploymentId": second, "targetDeploymentId": first}
    assert await go("call", ROLLBACK, back, key=world.workspace_id) == EMPTY
    assert await live_route(installation, world) == first
    assert (await installation.row(tables.apps, id=world.app.id))["is_rolled_back"]

    sent = await go("send", PROMOTE, {"targetDeploymentId": second}, key=world.workspace_id)
    assert await go("attach", PROMOTE, invocation=sent["invocation"]) == EMPTY
    assert await live_route(installation, world) == second
    assert not (await installation.row(tables.apps, id=world.app.id))["is_rolled_back"]


async def test_a_header_says_who_calls(installation: Installation, go: IngressCaller) -> None:
    world = await installation.world()
    deployment_id = await installation.deployment(world)

    await go("call", DEPLOY, image(deployment_id), key="k", headers={"x-hydra-caller": "control-api"})

    (operation,) = await operations(installation, deployment_id)
    assert operation["caller"] == "control-api"


# --------------------------------------------------------------------------------------------------- sends and attaches


async def test_a_send_is_accepted_and_its_answer_is_had_later(installation: Installation, go: IngressCaller) -> None:
    world = await installation.world()
    deployment_id = await installation.deployment(world)
    mine = {"key": world.workspace_id, "idempotencyKey": f"key-{deployment_id}"}
    async with installation.held("reserve names.before"):
        sent = await go("send", DEPLOY, image(deployment_id), **mine)
        assert sent["status"] == "Accepted"
        for wanted in ({"invocation": sent["invocation"]}, mine):
            not_yet = await go("output", DEPLOY, **wanted)
            assert (not_yet["error"]["kind"], not_yet["error"]["code"]) == ("InvocationNotReadyError", 470)

    assert await go("attach", DEPLOY, **mine) == EMPTY
    assert await installation.status(deployment_id) == "ready"
    assert await go("attach", DEPLOY, invocation=sent["invocation"]) == EMPTY
    assert await go("output", DEPLOY, **mine) == EMPTY


async def test_one_idempotency_key_is_one_invocation_whatever_it_asks(
    installation: Installation, go: IngressCaller
) -> None:
    world = await installation.world()
    deployment_id, other = await installation.deployment(world), await installation.deployment(world)
    mine = {"key": world.workspace_id, "idempotencyKey": f"key-{deployment_id}"}

    sent = await go("send", DEPLOY, image(deployment_id), **mine)
    again = await go("send", DEPLOY, image(other), **mine)
    called = await go("call", DEPLOY, image("d_of_nobody"), **mine)

    assert again == {"invocation": sent["invocation"], "status": "PreviouslyAccepted"}
    assert called == EMPTY
    assert [row["id"] for row in await operations(installation, deployment_id)] == [sent["invocation"]]
    assert await installation.status(deployment_id) == "ready"
    assert await installation.status(other) == "pending"


async def test_a_delayed_send_begins_when_it_is_due(installation: Installation, go: IngressCaller) -> None:
    world = await installation.world()
    deployment_id, never = await installation.deployment(world), await installation.deployment(world)

    sent = await go("send", DEPLOY, image(deployment_id), key="k", delayMs=DELAY_MS)
    in_an_hour = await go("send", DEPLOY, image(never), key="k", delayMs=3_600_000)
    assert await go("attach", DEPLOY, invocation=sent["invocation"]) == EMPTY

    assert await installation.status(deployment_id) == "ready"
    sent_at = datetime.fromisoformat((await invocation(installation, sent["invocation"]))["created_at"])
    (operation,) = await operations(installation, deployment_id)
    began_at = datetime.fromtimestamp(operation["started_at"] / 1000, UTC)
    assert began_at - sent_at >= timedelta(milliseconds=DELAY_MS - 10)  # less the rounding of two clocks
    waits = await invocation(installation, in_an_hour["invocation"])
    assert (waits["status"], await installation.status(never)) == ("scheduled", "pending")
    assert (await go("output", DEPLOY, invocation=in_an_hour["invocation"]))["error"]["code"] == 470
    await installation.kill(in_an_hour["invocation"])


# ------------------------------------------------------------------------------------------------------------- errors


async def test_what_is_not_there_is_an_error_of_its_own_type(installation: Installation, go: IngressCaller) -> None:
    """Go tells a handler's 404 from Restate's own by the message alone."""
    unknown = await go("call", DEPLOY, image("d_of_nobody"), key="k", idempotencyKey="of-nobody")
    again = await go("attach", DEPLOY, key="k", idempotencyKey="of-nobody")
    never_sent = await go("attach", DEPLOY, key="k", idempotencyKey="never-sent")

    words = "the deployment 'd_of_nobody' does not exist"
    assert unknown["error"] == {"kind": "InvocationNotFoundError", "code": 404, "message": words}
    assert again == unknown
    assert (never_sent["error"]["kind"], never_sent["error"]["code"]) == ("InvocationNotFoundError", 404)
    assert never_sent["error"]["message"] != words
    assert await operations(installation, "d_of_nobody") == []


@pytest.mark.parametrize(
    ("rpc", "request_json", "field"),
    [
        (DEPLOY, {}, "deployment_id"),
        (DEPLOY, {"deploymentId": "d_1"}, "source"),
        (DEPLOY, {"deploymentId": "d_1", "dockerImage": {}}, "docker_image.image"),
        (DEPLOY, {"deploymentId": "d_1", "git": {"installationId": "42", "branch": "main"}}, "git.repository"),
        (ROLLBACK, {"sourceDeploymentId": "d_1"}, "target_deployment_id"),
        (PROMOTE, {}, "target_deployment_id"),
    ],
)
async def test_a_wrong_request_is_an_error_with_the_status_in_its_words(
    go: IngressCaller, rpc: str, request_json: dict[str, Any], field: str
) -> None:
    refused = (await go("call", rpc, request_json, key="k"))["error"]

    assert refused["kind"] == "error"
    assert refused["message"].startswith("request failed with unexpected status 400 Bad Request: {")
    assert f'"field":"{field}"' in refused["message"]


async def test_what_the_state_forbids_is_said_with_its_reason(installation: Installation, go: IngressCaller) -> None:
    world = await installation.world()
    only = await installation.deployed(world)
    poor = await installation.world(quota_cpu_millicores=10)
    too_much = await installation.deployment(poor)

    live = await go("call", PROMOTE, {"targetDeploymentId": only}, key="k")
    sweep = await go("call", SWEEP, {}, key="cron-01J9ZC6T")
    quota = await go("call", DEPLOY, image(too_much), key="k")

    expected = [
        (live, "400 Bad Request", "ALREADY_LIVE"),
        (sweep, "400 Bad Request", "CLICKHOUSE_NOT_CONFIGURED"),
        (quota, "429 Too Many Requests", "QUOTA_EXCEEDED"),
    ]
    for refused, status, reason in expected:
        assert refused["error"]["kind"] == "error"
        assert f"unexpected status {status}: " in refused["error"]["message"]
        assert f'"reason":"{reason}"' in refused["error"]["message"]
    assert await installation.status(too_much) == "failed"


async def test_a_cancelled_deploy_is_a_conflict(installation: Installation, go: IngressCaller) -> None:
    world = await installation.world()
    deployment_id = await installation.deployment(world)
    async with installation.held("reserve names.before"):
        sent = await go("send", DEPLOY, image(deployment_id), key="k")
        await until_begun(installation, deployment_id)
        await installation.cancel(sent["invocation"])

    cancelled = (await go("attach", DEPLOY, invocation=sent["invocation"]))["error"]
    assert cancelled["kind"] == "error"
    assert "unexpected status 409 Conflict: " in cancelled["message"]
    assert '"error":"Cancelled"' in cancelled["message"]
    assert await installation.status(deployment_id) == "failed"


@pytest.mark.parametrize("verb", ["call", "send"])
@pytest.mark.parametrize(
    "rpc",
    [
        "DeploymentService/ScheduleDesiredStateChange",
        "DeploymentService/ChangeDesiredState",
        "DeploymentService/ClearScheduledStateChanges",
        "RoutingService/AssignFrontlineRoutes",
        "VersioningService/NextVersion",
        "VersioningService/GetVersion",
        "GitHubStatusService/Init",
        "GitHubStatusService/ReportStatus",
        "OpenapiService/ScrapeSpec",
    ],
)
async def test_private_services_are_not_for_outside(go: IngressCaller, verb: str, rpc: str) -> None:
    refused = (await go(verb, rpc, {}, key="k"))["error"]
    assert "unexpected status 400 Bad Request: " in refused["message"]
    assert '"message":"the invoked service is not public","source":"ingress"' in refused["message"]


# ------------------------------------------------------------------------------------------------------------ payloads


async def test_numbers_of_64_bits_travel_as_strings(installation: Installation, go: IngressCaller) -> None:
    """A number of JSON would lose this one's last digit."""
    world = await installation.world()
    deployment_id = await installation.deployment(world)
    git = {"installationId": "9007199254740993", "repository": "acme/shop", "branch": "main", "prNumber": "7"}

    request = {"deploymentId": deployment_id, "git": git}
    refused = await go("call", DEPLOY, request, key="k")

    assert '"reason":"GITHUB_NOT_CONFIGURED"' in refused["error"]["message"]
    (operation,) = await operations(installation, deployment_id)
    query = f"select entry_json from sys_journal where id = '{operation['id']}' and index = 0"
    (entry,) = await installation.admin_query(query)
    received = json.loads(bytes(json.loads(entry["entry_json"])["Command"]["Input"]["payload"]))
    assert received["git"] == git
