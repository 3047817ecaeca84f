"""Plain curl at Restate's ingress: what tests/integration/test_restate_plane.py leaves to programs of others."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from service.database import tables
from tests.installation import IMAGE, Installation, deploy_request
from tests.interop.curls import curl, run
from tests.waiting import until

pytestmark = pytest.mark.parametrize("server", ["mariadb"], indirect=True, scope="session")

SERVICE = "hydra.v1.DeployService"
JSON = ("-H", "content-type: application/json")
NOT_READY = 470  # Restate's own


async def answered(installation: Installation, path: str, *options: str) -> tuple[int, Any]:
    """Let curl ask the ingress; returns the HTTP status and the body, which has to be JSON."""
    url = f"{installation.stack.restate.ingress_url}/{path}"
    ended = await run(curl(), "--silent", "--show-error", "--write-out", "\n%{http_code}", url, *options)
    assert ended.code == 0, ended.err
    body, _, status = ended.out.rpartition("\n")
    return int(status), json.loads(body)


def protojson(**fields: object) -> tuple[str, ...]:
    return (*JSON, "--data", json.dumps(fields))


def image(deployment_id: str) -> tuple[str, ...]:
    return protojson(deploymentId=deployment_id, dockerImage={"image": IMAGE})


async def test_every_rpc_is_called(installation: Installation) -> None:
    world = await installation.world()
    a, b = [await installation.deployment(world) for _ in range(2)]
    for deployment_id in (a, b):
        assert await answered(installation, f"{SERVICE}/k/Deploy", *image(deployment_id)) == (200, {})

    back = protojson(sourceDeploymentId=b, targetDeploymentId=a)
    assert await answered(installation, f"{SERVICE}/k/Rollback", *back) == (200, {})
    assert await installation.live(world) == a
    assert await answered(installation, f"{SERVICE}/k/Promote", *protojson(targetDeploymentId=b)) == (200, {})
    assert await installation.live(world) == b


@pytest.mark.parametrize("body", [("--request", "POST"), protojson()], ids=["no body", "an empty object"])
async def test_a_sweep_needs_no_body(installation: Installation, body: tuple[str, ...]) -> None:
    """It is heard, and refused because nothing counts requests here."""
    status, answer = await answered(installation, f"{SERVICE}/cron/ScaleDownIdlePreviewDeployments", *body)

    assert (status, answer["metadata"]["reason"]) == (400, "CLICKHOUSE_NOT_CONFIGURED")


async def test_a_body_that_is_announced_has_to_be_there(installation: Installation) -> None:
    """Restate's own rule, whoever serves: who names a content type and sends nothing does not get through."""
    status, answer = await answered(installation, f"{SERVICE}/k/Promote", "--request", "POST", *JSON)

    assert (status, answer["source"]) == (400, "ingress")


async def test_any_key_will_do(installation: Installation) -> None:
    """Callers send a workspace's id, a project's, a random one: no handler may read anything from it."""
    for key in ("a%2Fb", "%D1%81%D0%BB%D0%BE%D0%B2%D0%BE", "0", "app_of_nobody"):
        deployment_id = await installation.deployment(await installation.world())

        assert await answered(installation, f"{SERVICE}/{key}/Deploy", *image(deployment_id)) == (200, {})
        assert await installation.status(deployment_id) == "ready"


async def test_an_invocation_is_found_by_its_idempotency_key(installation: Installation) -> None:
    deployment_id = await installation.deployment(await installation.world())
    path, mine = f"{SERVICE}/k/Deploy", f"mine-{deployment_id}"
    async with installation.held("await healthy regions.before") as reached:
        sent = await answered(
            installation, f"{path}/send", *image(deployment_id), "--header", f"idempotency-key: {mine}"
        )
        await until(lambda: asyncio.to_thread(reached.exists))
        early, _ = await answered(installation, f"restate/invocation/{path}/{mine}/output")
    attached = await answered(installation, f"restate/invocation/{path}/{mine}/attach")
    late = await answered(installation, f"restate/invocation/{path}/{mine}/output")

    assert (sent[0], early) == (202, NOT_READY)
    assert (attached, late) == ((200, {}), (200, {}))
    operation = await installation.row(tables.hydra_operations, deployment_id=deployment_id)
    assert operation["id"] == sent[1]["invocationId"]


async def test_a_binary_message_is_taken_and_answered_in_json(installation: Installation, tmp_path: Path) -> None:
    deployment_id = await installation.deployment(await installation.world())
    message = tmp_path / "request.binpb"
    message.write_bytes(deploy_request(deployment_id).SerializeToString())
    binary = ("--header", "content-type: application/proto", "--data-binary", f"@{message}")

    assert await answered(installation, f"{SERVICE}/k/Deploy", *binary) == (200, {})
    assert await installation.status(deployment_id) == "ready"
