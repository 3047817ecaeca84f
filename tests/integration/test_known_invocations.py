"""Whether Restate knows an invocation, asked of the real server.

Asking touches nothing: the reconciler asks in a dry run too.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from http import HTTPStatus

import pytest

from service.durable.admin import Admin
from service.errors import FailedPrecondition, Transient
from tests.installation import Installation
from tests.servers.stray import saying
from tests.waiting import appears, until

DEPLOY = "/hydra.v1.DeployService/known/Deploy/send"
SERVICES = ("hydra.v1.DeployService", "hydra.v1.DeploymentService", "hydra.v1.RoutingService")
NEVER_USED = "inv_1jtjwkneGSG919v3TVVzrdXVIrt7GyDlca"


@pytest.fixture
async def admin(installation: Installation) -> AsyncIterator[Admin]:
    restate = installation.stack.restate
    async with Admin(restate.admin_url, ingress_url=restate.ingress_url) as admin:
        yield admin


async def sent(installation: Installation, deployment_id: str, path: str = DEPLOY) -> str:
    body = {"deploymentId": deployment_id, "dockerImage": {"image": "registry.example.com/acme/shop:1.0"}}
    return str((await installation.ingress(path, body)).body["invocationId"])


async def says(installation: Installation, invocation_id: str) -> list[str]:
    """Read what Restate's introspection says of an invocation."""
    rows = await installation.admin_query(f"select status from sys_invocation where id = '{invocation_id}'")
    return [row["status"] for row in rows]


async def comes_to(installation: Installation, invocation_id: str, *statuses: str) -> None:
    async def there() -> bool:
        return await says(installation, invocation_id) == list(statuses)

    await until(there)


async def test_a_paused_one_is_known_and_stays_paused(installation: Installation, admin: Admin) -> None:
    world = await installation.world()
    deployment_id = await installation.deployment(world)
    async with installation.held("provision regions.before") as reached:
        invocation_id = await sent(installation, deployment_id)
        await appears(reached)
        assert await admin.knows(invocation_id)  # while it runs
        url = f"{installation.stack.restate.admin_url}/invocations/{invocation_id}/pause"
        async with installation.http.patch(url) as answer:
            assert answer.status == HTTPStatus.ACCEPTED
    await comes_to(installation, invocation_id, "paused")
    try:
        assert await admin.knows(invocation_id)
        await asyncio.sleep(1)  # what lets it go on takes its time
        assert await says(installation, invocation_id) == ["paused"]
    finally:
        assert await admin.resume(invocation_id)
    await comes_to(installation, invocation_id, "completed")
    assert await installation.status(deployment_id) == "ready"


async def test_one_that_has_not_begun_is_known(installation: Installation, admin: Admin) -> None:
    invocation_id = await sent(installation, "d_none", f"{DEPLOY}?delay=1h")
    await comes_to(installation, invocation_id, "scheduled")
    assert await admin.knows(invocation_id)
    assert await says(installation, invocation_id) == ["scheduled"]
    await installation.kill(invocation_id)


async def test_one_that_ended_is_known_however_it_did(installation: Installation, admin: Admin) -> None:
    """An error of the handler's own may have the very status that Restate answers where it knows nothing."""
    world = await installation.world()
    done = await installation.operation(await installation.deployed(world))
    failed = await sent(installation, "d_none")
    await comes_to(installation, failed, "completed")
    answer = await installation.ingress(f"/restate/invocation/{failed}/output", method="GET")
    assert (answer.status, answer.body["source"]) == (HTTPStatus.NOT_FOUND, "invocation")

    assert [await admin.knows(each) for each in (done, failed)] == [True, True]


async def test_those_of_every_service_are_known(installation: Installation, admin: Admin) -> None:
    """Private ones too: the ingress tells of what it would not call."""
    await installation.deployed(await installation.world())
    rows = await installation.admin_query("select id, target_service_name from sys_invocation")
    known = {row["target_service_name"]: row["id"] for row in rows}
    assert set(SERVICES) <= known.keys()
    for service in SERVICES:
        assert await admin.knows(known[service]), service


async def test_one_that_was_forgotten_or_never_was_is_unknown(installation: Installation, admin: Admin) -> None:
    forgotten = await sent(installation, "d_none")
    await comes_to(installation, forgotten, "completed")
    async with installation.http.patch(
        f"{installation.stack.restate.admin_url}/invocations/{forgotten}/purge"
    ) as answer:
        assert answer.status == HTTPStatus.OK
    await comes_to(installation, forgotten)

    assert not await admin.knows(forgotten)
    assert not await admin.knows(NEVER_USED)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (404, "<html>no such page</html>", FailedPrecondition),
        (404, json.dumps({"message": "no route"}), FailedPrecondition),
        (404, json.dumps(["not", "an", "object"]), FailedPrecondition),
        (200, "<html>welcome</html>", None),
        (400, json.dumps({"code": 400, "message": "bad invocation id", "source": "ingress"}), FailedPrecondition),
        (403, "", FailedPrecondition),
        (502, "<html>bad gateway</html>", Transient),
        (503, json.dumps({"code": 503, "message": "not now", "source": "ingress"}), Transient),
    ],
)
async def test_only_restate_itself_says_that_one_is_gone(status: int, body: str, error: type[Exception] | None) -> None:
    """Whoever believed a proxy would end the record of an operation that goes on."""
    async with saying(status, body) as url, Admin(url, ingress_url=url) as admin:
        if error is None:
            assert await admin.knows(NEVER_USED)
        else:
            with pytest.raises(error):
                await admin.knows(NEVER_USED)
