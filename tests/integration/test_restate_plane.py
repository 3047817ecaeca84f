"""Deploy through Restate's ingress, as Go callers send it and expect it back (05 · 1)."""

import asyncio

import pytest

from service.database import tables
from tests.installation import IMAGE, Answer, Installation

DEPLOY = "/hydra.v1.DeployService/{key}/Deploy"


def body(deployment_id: str) -> dict[str, object]:
    """Protojson as Go writes it: lower camel case, the oneof's member inline."""
    return {"deploymentId": deployment_id, "dockerImage": {"image": IMAGE}}


async def test_a_call_answers_an_empty_object_at_the_end(installation: Installation) -> None:
    world = await installation.world()
    deployment_id = await installation.deployment(world)

    answer = await installation.ingress(DEPLOY.format(key=world.workspace_id), body(deployment_id))

    assert (answer.status, answer.body) == (200, {})
    assert answer.headers["content-type"] == "application/json"
    assert await installation.status(deployment_id) == "ready"


@pytest.mark.parametrize(
    "request_body",
    [
        '{ "deployment_id": "%s",  "docker_image": {"image":"%s"}, "keyAuthId": "ks_1", "unknownLater": [1] }',
        '{"deploymentId":"%s","dockerImage":{"image":"%s"},"command":["run","it"]}',
    ],
    ids=["snake case and unknown fields", "command"],
)
async def test_other_spellings_of_protojson_are_taken(installation: Installation, request_body: str) -> None:
    world = await installation.world()
    deployment_id = await installation.deployment(world)
    url = installation.stack.restate.ingress_url + DEPLOY.format(key="any")
    async with installation.http.post(
        url, data=request_body % (deployment_id, IMAGE), headers={"content-type": "application/json"}
    ) as answer:
        assert (answer.status, await answer.json()) == (200, {})


async def test_a_send_is_accepted_and_can_be_attached_to(installation: Installation) -> None:
    world = await installation.world()
    deployment_id = await installation.deployment(world)

    sent = await installation.ingress(DEPLOY.format(key="k") + "/send", body(deployment_id))
    assert (sent.status, sent.body["status"]) == (202, "Accepted")
    invocation_id = sent.body["invocationId"]
    attached = await installation.ingress(f"/restate/invocation/{invocation_id}/attach", method="GET")

    assert (attached.status, attached.body) == (200, {})
    assert (await installation.row(tables.hydra_operations, id=invocation_id))["state"] == "succeeded"


async def test_a_delayed_send_begins_later(installation: Installation) -> None:
    world = await installation.world()
    deployment_id = await installation.deployment(world)

    sent = await installation.ingress(DEPLOY.format(key="k") + "/send?delay=700ms", body(deployment_id))
    assert "executionTime" in sent.body
    assert await installation.status(deployment_id) == "pending"
    await installation.ingress(f"/restate/invocation/{sent.body['invocationId']}/attach", method="GET")

    assert await installation.status(deployment_id) == "ready"


async def test_one_idempotency_key_is_one_invocation(installation: Installation) -> None:
    world = await installation.world()
    deployment_id = await installation.deployment(world)
    path, key = DEPLOY.format(key=world.project_id), {"idempotency-key": f"key-{deployment_id}"}

    sent = await installation.ingress(path + "/send", body(deployment_id), headers=key)
    again = await installation.ingress(path + "/send", body(deployment_id), headers=key)
    called = await installation.ingress(path, body("d_other"), headers=key)

    assert again.body == {"invocationId": sent.body["invocationId"], "status": "PreviouslyAccepted"}
    assert (called.status, called.body) == (200, {})
    assert len(await installation.rows(tables.hydra_operations, deployment_id=deployment_id)) == 1


async def test_a_second_deploy_attaches_to_the_first_whatever_its_key(installation: Installation) -> None:
    world = await installation.world()
    deployment_id = await installation.deployment(world)

    answers = await asyncio.gather(
        *(installation.ingress(DEPLOY.format(key=f"k{n}"), body(deployment_id)) for n in range(4))
    )

    assert {(answer.status, str(answer.body)) for answer in answers} == {(200, "{}")}
    assert len(await installation.rows(tables.hydra_operations, deployment_id=deployment_id)) == 1


async def test_a_deploy_of_what_is_ready_is_answered_at_once(installation: Installation) -> None:
    world = await installation.world()
    deployment_id = await installation.deployed(world)
    before = await installation.rows(tables.deployment_topology, deployment_id=deployment_id)

    answer = await installation.ingress(DEPLOY.format(key="later"), body(deployment_id))

    assert (answer.status, answer.body) == (200, {})
    assert await installation.rows(tables.deployment_topology, deployment_id=deployment_id) == before


ERRORS = [
    ({}, 400, "InvalidArgument", "deployment_id"),
    ({"deploymentId": ""}, 400, "InvalidArgument", "deployment_id"),
    ({"deploymentId": "d_refused"}, 400, "InvalidArgument", "source"),
    ({"deploymentId": "d_refused", "git": {}, "dockerImage": {"image": "a"}}, 400, "InvalidArgument", "body"),
    ({"deploymentId": "d_refused", "dockerImage": {"image": ""}}, 400, "InvalidArgument", "docker_image.image"),
    (
        {"deploymentId": "d_refused", "dockerImage": {"image": "example.com/UPPER"}},
        400,
        "InvalidArgument",
        "docker_image.image",
    ),
    ({"deploymentId": "d_refused", "dockerImage": {"image": "a" * 300}}, 400, "InvalidArgument", "docker_image.image"),
    ({"deploymentId": "d_" + "1" * 200, "dockerImage": {"image": "a"}}, 400, "InvalidArgument", "deployment_id"),
    ({"deploymentId": "d 1\n", "dockerImage": {"image": "a"}}, 400, "InvalidArgument", "deployment_id"),
    ({"deploymentId": 7, "dockerImage": {"image": "a"}}, 400, "InvalidArgument", "body"),
    ({"deploymentId": "d_of_nobody", "dockerImage": {"image": "a"}}, 404, "NotFound", None),
    ({"deploymentId": "d_of_nobody", "git": {"repository": "o/r", "commitSha": "0" * 40}}, 404, "NotFound", None),
    ({"deploymentId": "d_refused", "git": {"repository": "o/r"}}, 400, "InvalidArgument", "git.commit_sha"),
    (
        {"deploymentId": "d_refused", "git": {"repository": "o/r#x", "branch": "m"}},
        400,
        "InvalidArgument",
        "git.repository",
    ),
    (
        {"deploymentId": "d_refused", "git": {"repository": "o/r", "branch": "a..b"}},
        400,
        "InvalidArgument",
        "git.branch",
    ),
    (
        {"deploymentId": "d_refused", "git": {"repository": "o/r", "branch": "m", "contextPath": "../.."}},
        400,
        "InvalidArgument",
        "git.context_path",
    ),
    (
        {"deploymentId": "d_refused", "git": {"repository": "o/r", "branch": "m", "dockerfilePath": "a b"}},
        400,
        "InvalidArgument",
        "git.dockerfile_path",
    ),
]


@pytest.mark.parametrize(("request_body", "status", "error", "field"), ERRORS)
async def test_bad_requests_are_terminal_and_write_nothing(
    installation: Installation, request_body: dict[str, object], status: int, error: str, field: str | None
) -> None:
    answer = await installation.ingress(DEPLOY.format(key="k"), request_body)

    assert answer.status == status
    assert (answer.body["code"], answer.body["metadata"]["error"]) == (status, error)
    assert answer.body["metadata"].get("field") == field
    assert "Traceback" not in str(answer.body)
    assert await written(installation, str(request_body.get("deploymentId", ""))) == []


async def written(installation: Installation, deployment_id: str) -> list[object]:
    """Collect every row that mentions the deployment."""
    found: list[object] = []
    for table in (*tables.reference.sorted_tables, *tables.ours.sorted_tables):
        if "deployment_id" in table.c:
            found += await installation.rows(table, deployment_id=deployment_id)
    return found


@pytest.mark.parametrize(
    "path",
    [
        "/hydra.v1.DeploymentService/d_1/ClearScheduledStateChanges",
        "/hydra.v1.RoutingService/app_1/SwitchTraffic",
        "/hydra.v1.RoutingService/app_1/AssignFrontlineRoutes",
        "/hydra.v1.VersioningService/rgn_1/NextVersion",
        "/hydra.v1.GitHubStatusService/d_1/Init",
        "/hydra.v1.GitHubStatusService/d_1/ReportStatus",
        "/hydra.v1.PullRequestCommentService/acme%2Fshop%231/PutRow",
        "/hydra.v1.OpenapiService/ScrapeSpec",
    ],
)
async def test_only_the_deploy_service_is_public(installation: Installation, path: str) -> None:
    answer: Answer = await installation.ingress(path, {})
    assert answer.status in (400, 404)
    assert answer.body["source"] == "ingress"


async def test_the_empty_body_of_a_get_is_refused_without_a_trace(installation: Installation) -> None:
    answer = await installation.ingress(DEPLOY.format(key="k"), method="GET", headers={"content-type": ""})
    assert answer.status in (400, 405)
