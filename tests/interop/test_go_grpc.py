"""A Go caller of the gRPC plane, with stubs of protoc-gen-go-grpc: modes, metadata, deadlines, details, health."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from service.database import tables
from service.dev.world import World
from tests.installation import IMAGE, Installation
from tests.interop_programs import GrpcCaller
from tests.waiting import until

pytestmark = pytest.mark.parametrize("server", ["mariadb"], indirect=True, scope="session")

SWEEP = "ScaleDownIdlePreviewDeployments"
SERVICE = "hydra.v1.DeployService"


@pytest.fixture(scope="module")
def go(installation: Installation, programs: Path) -> GrpcCaller:
    return GrpcCaller(programs, installation.stack.grpc_address)


def image(deployment_id: str) -> dict[str, Any]:
    """Ask for a deploy of the image."""
    return {"deploymentId": deployment_id, "dockerImage": {"image": IMAGE}}


async def operations(installation: Installation, deployment_id: str) -> list[dict[str, Any]]:
    return await installation.rows(tables.hydra_operations, deployment_id=deployment_id)


async def until_begun(installation: Installation, deployment_id: str) -> None:
    async def begun() -> bool:
        return bool(await operations(installation, deployment_id))

    await until(begun)


async def live_route(installation: Installation, world: World) -> str:
    """Read which deployment the app's own name leads to."""
    return (await installation.routes(world))[f"shop-{world.workspace_slug}"]


# ------------------------------------------------------------------------------------------------------------- modes


async def test_every_rpc_waits_for_its_end(installation: Installation, go: GrpcCaller) -> None:
    world = await installation.world()
    first = await installation.deployed(world)
    second = await installation.deployment(world)

    deployed = await go("Deploy", image(second))
    assert (deployed["code"], deployed["response"]) == ("OK", {})
    assert deployed["metadata"]["x-hydra-deployment-id"] == second
    (operation,) = await operations(installation, second)
    assert deployed["metadata"]["x-restate-invocation-id"] == operation["id"]
    assert await live_route(installation, world) == second

    assert (await go("Rollback", {"sourceDeploymentId": second, "targetDeploymentId": first}))["code"] == "OK"
    assert await live_route(installation, world) == first
    assert (await go("Promote", {"targetDeploymentId": second}))["code"] == "OK"
    assert await live_route(installation, world) == second
    sweep = await go(SWEEP)
    assert (sweep["code"], sweep["details"]["reason"]) == ("FailedPrecondition", "CLICKHOUSE_NOT_CONFIGURED")


async def test_every_rpc_can_be_submitted(installation: Installation, go: GrpcCaller) -> None:
    """OK says that it will run; a sweep without ClickHouse fails, and its row says so."""
    world = await installation.world()
    first, second = await installation.deployed(world), await installation.deployment(world)

    for rpc, request, outcome in (
        ("Deploy", image(second), "succeeded"),
        ("Rollback", {"sourceDeploymentId": second, "targetDeploymentId": first}, "succeeded"),
        ("Promote", {"targetDeploymentId": second}, "succeeded"),
        (SWEEP, {}, "failed"),
    ):
        submitted = await go(rpc, request, x_hydra_mode="submit")
        assert (submitted["code"], submitted["response"]) == ("OK", {})
        invocation_id = submitted["metadata"]["x-restate-invocation-id"]
        assert await ended(installation, invocation_id) == outcome
    assert await live_route(installation, world) == second


async def ended(installation: Installation, operation_id: str) -> str:
    """Wait for an operation's end; returns its state."""

    async def over() -> bool:
        rows = await installation.rows(tables.hydra_operations, id=operation_id)
        return bool(rows) and rows[0]["ended_at"] is not None

    await until(over)
    return str((await installation.row(tables.hydra_operations, id=operation_id))["state"])


# ---------------------------------------------------------------------------------------------- metadata and deadlines


async def test_metadata_is_heeded(installation: Installation, go: GrpcCaller) -> None:
    world = await installation.world()
    deployment_id, other = await installation.deployment(world), await installation.deployment(world)
    mine = f"mine-{deployment_id}"
    metadata: dict[str, Any] = {"idempotency_key": mine, "x_restate_key": "a/key", "x_hydra_caller": "release-bot"}

    first = await go("Deploy", image(deployment_id), **metadata)
    again = await go("Deploy", image(other), **metadata)

    invocation_id = first["metadata"]["x-restate-invocation-id"]
    assert again["metadata"]["x-restate-invocation-id"] == invocation_id
    assert await installation.status(other) == "pending"
    query = f"select target_service_key, idempotency_key from sys_invocation where id = '{invocation_id}'"
    assert await installation.admin_query(query) == [{"target_service_key": "a/key", "idempotency_key": mine}]
    assert [row["caller"] for row in await operations(installation, deployment_id)] == ["release-bot"]


async def test_a_deadline_ends_the_wait_and_a_repeat_attaches(installation: Installation, go: GrpcCaller) -> None:
    world = await installation.world()
    deployment_id = await installation.deployment(world)
    async with installation.held("await healthy regions.before"):
        waited = await go("Deploy", image(deployment_id), timeout=1)
        assert waited["code"] == "DeadlineExceeded"
        assert await installation.status(deployment_id) != "ready"

    assert (await go("Deploy", image(deployment_id)))["code"] == "OK"

    assert await installation.status(deployment_id) == "ready"
    assert len(await operations(installation, deployment_id)) == 1


@pytest.mark.skipif(not os.environ.get("HYDRA_TEST_FULL"), reason="grpc-go pings no more often than every 10 s")
async def test_a_caller_that_pings_while_it_waits_keeps_its_call(installation: Installation, programs: Path) -> None:
    """A server with gRPC's own settings takes two pings in five minutes, and sends away who sends a third."""
    world = await installation.world()
    deployment_id = await installation.deployment(world)
    go = GrpcCaller(programs, installation.stack.grpc_address, "-keepalive=10s")
    async with installation.held("reserve names.before"):
        call = asyncio.create_task(go("Deploy", image(deployment_id)))
        await asyncio.sleep(45)
        assert not call.done()
    assert (await call)["code"] == "OK"


# ------------------------------------------------------------------------------------------------------------- details


@pytest.mark.parametrize(
    ("rpc", "request_json", "field"),
    [
        ("Deploy", {}, "deployment_id"),
        ("Deploy", {"deploymentId": "d_1"}, "source"),
        ("Deploy", {"deploymentId": "d_1", "git": {"installationId": "42", "branch": "main"}}, "git.repository"),
        ("Rollback", {"sourceDeploymentId": "d_1", "targetDeploymentId": "d_1"}, "target_deployment_id"),
        ("Promote", {}, "target_deployment_id"),
    ],
)
async def test_a_wrong_request_names_the_field(
    go: GrpcCaller, rpc: str, request_json: dict[str, Any], field: str
) -> None:
    refused = await go(rpc, request_json)

    assert refused["code"] == "InvalidArgument"
    assert (refused["details"]["domain"], refused["details"]["fields"]) == ("hydra.v1", [field])
    assert "unread" not in refused["details"]


async def test_bad_metadata_is_named_too(go: GrpcCaller) -> None:
    refused = await go("Deploy", image("d_1"), x_hydra_mode="later")
    assert (refused["code"], refused["details"]["reason"]) == ("InvalidArgument", "BAD_METADATA")
    assert refused["details"]["fields"] == ["x-hydra-mode"]


Refused = Callable[[Installation, GrpcCaller], Awaitable[Any]]


async def unknown(_: Installation, go: GrpcCaller) -> Any:
    return await go("Deploy", image("d_of_nobody"))


async def already_live(installation: Installation, go: GrpcCaller) -> Any:
    return await go("Promote", {"targetDeploymentId": await installation.deployed(await installation.world())})


async def above_quota(installation: Installation, go: GrpcCaller) -> Any:
    return await go("Deploy", image(await installation.deployment(await installation.world(quota_cpu_millicores=10))))


async def nobody_starts_it(installation: Installation, go: GrpcCaller) -> Any:
    world = await installation.world(regions=("without-an-agent",))
    return await go("Deploy", image(await installation.deployment(world)))


async def cancelled(installation: Installation, go: GrpcCaller) -> Any:
    deployment_id = await installation.deployment(await installation.world())
    async with installation.held("reserve names.before"):
        call = asyncio.create_task(go("Deploy", image(deployment_id)))
        await until_begun(installation, deployment_id)
        await installation.cancel(await installation.operation(deployment_id))
    return await call


@pytest.mark.parametrize(
    ("refuse", "code", "reason"),
    [
        (unknown, "NotFound", "DEPLOYMENT_NOT_FOUND"),
        (already_live, "FailedPrecondition", "ALREADY_LIVE"),
        (above_quota, "ResourceExhausted", "QUOTA_EXCEEDED"),
        (nobody_starts_it, "Aborted", "REGIONS_UNHEALTHY"),
        (cancelled, "Canceled", "CANCELLED"),
    ],
)
async def test_every_refusal_has_details(
    installation: Installation, go: GrpcCaller, refuse: Refused, code: str, reason: str
) -> None:
    refused = await refuse(installation, go)

    assert refused["code"] == code
    assert refused["message"]
    assert (refused["details"]["domain"], refused["details"]["reason"]) == ("hydra.v1", reason)
    assert refused["details"].get("violations") == ([reason] if code == "FailedPrecondition" else None)
    assert "unread" not in refused["details"]


# -------------------------------------------------------------------------------------------------------------- health


@pytest.mark.parametrize("service", ["", SERVICE])
async def test_health_is_had_by_service(go: GrpcCaller, service: str) -> None:
    assert await go.health(service) == {"code": "OK", "health": "SERVING"}


async def test_nothing_is_said_of_a_service_that_is_not_here(go: GrpcCaller) -> None:
    assert (await go.health("hydra.v1.RoutingService"))["code"] == "NotFound"


async def test_a_server_that_stops_sends_its_callers_away_and_they_find_their_deploy_again(
    installation: Installation, programs: Path
) -> None:
    world = await installation.world()
    deployment_id = await installation.deployment(world)
    go = GrpcCaller(programs, installation.stack.grpc_address, "-keepalive=10s")
    async with installation.held("await healthy regions.before"), go.watching(SERVICE) as watch:
        call = asyncio.create_task(go("Deploy", image(deployment_id)))
        await watch.wrote('"SERVING"')
        await until_begun(installation, deployment_id)
        stopping = asyncio.create_task(installation.stack.stop_worker())
        sent_away, watched = await call, await watch.ended()
    await stopping
    await installation.stack.start_worker()

    assert (sent_away["code"], sent_away["details"]["reason"]) == ("Unavailable", "SERVER_DRAINING")
    assert sent_away["details"]["retryInNs"] > 0
    assert [json.loads(line)["health"] for line in watched.out.splitlines()] == ["SERVING", "NOT_SERVING"]
    again = await go("Deploy", image(deployment_id))
    assert again["code"] == "OK"
    assert again["metadata"]["x-restate-invocation-id"] == sent_away["metadata"]["x-restate-invocation-id"]
    assert await installation.status(deployment_id) == "ready"
