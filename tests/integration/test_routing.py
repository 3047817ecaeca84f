"""Moving routes: RoutingService, called from inside Restate (02 · 1.7 and 6, 06 · decision 2)."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hydra.v1 import routing_pb2

from service.database import tables
from service.dev.world import World
from service.errors import FailedPrecondition, InvalidArgument, NotFound
from tests.inside_caller import InsideCaller
from tests.installation import Installation, deploy_request
from tests.waiting import appears, until

SERVICE = "hydra.v1.RoutingService"
DEPLOY = routing_pb2.TRAFFIC_SWITCH_KIND_DEPLOY


@pytest.fixture(scope="module")
async def inside(installation: Installation) -> AsyncIterator[InsideCaller]:
    async with InsideCaller(installation) as caller:
        yield caller


async def assign(inside: InsideCaller, app_id: str, deployment_id: str, *route_ids: str) -> None:
    request = routing_pb2.AssignFrontlineRoutesRequest(deployment_id=deployment_id, frontline_route_ids=route_ids)
    await inside.call(SERVICE, "AssignFrontlineRoutes", app_id, request)


async def switch(
    inside: InsideCaller, app_id: str, operation_id: str, deployment_id: str
) -> routing_pb2.SwitchTrafficResponse:
    request = routing_pb2.SwitchTrafficRequest(operation_id=operation_id, deployment_id=deployment_id, kind=DEPLOY)
    answer: routing_pb2.SwitchTrafficResponse = await inside.call(SERVICE, "SwitchTraffic", app_id, request)
    return answer


async def revert(
    inside: InsideCaller, app_id: str, operation_id: str, deployment_id: str
) -> routing_pb2.RevertTrafficResponse:
    request = routing_pb2.RevertTrafficRequest(operation_id=operation_id, deployment_id=deployment_id)
    answer: routing_pb2.RevertTrafficResponse = await inside.call(SERVICE, "RevertTraffic", app_id, request)
    return answer


async def route_ids(installation: Installation, world: World) -> dict[str, str]:
    """Read the ids of the first app's routes by host name without the apex."""
    rows = await installation.rows(tables.frontline_routes, app_id=world.app.id)
    return {row["fully_qualified_domain_name"].partition(".")[0]: row["id"] for row in rows}


async def operation_of(installation: Installation, deployment_id: str) -> str:
    """Read which invocation deployed the deployment."""
    attempt = await installation.row(tables.hydra_deployment_attempts, deployment_id=deployment_id)
    return str(attempt["operation_id"])


def moving(world: World) -> set[str]:
    """Name the routes that a production deploy without a branch moves."""
    return {f"shop-production-{world.workspace_slug}", f"shop-{world.workspace_slug}"}


# ------------------------------------------------------------------------------------------- AssignFrontlineRoutes


async def test_assigned_routes_lead_to_the_deployment(installation: Installation, inside: InsideCaller) -> None:
    world = await installation.world()
    old = await installation.deployed(world)
    new = await installation.deployed(world)
    ids = await route_ids(installation, world)
    before = await installation.routes(world)
    live = f"shop-{world.workspace_slug}"

    await assign(inside, world.app.id, old, ids[live])
    assert await installation.routes(world) == before | {live: old}
    await assign(inside, world.app.id, old, *ids.values(), ids[live])
    assert set((await installation.routes(world)).values()) == {old}
    assert await installation.live(world) == new


async def test_one_unknown_route_and_none_moves(installation: Installation, inside: InsideCaller) -> None:
    world = await installation.world()
    old = await installation.deployed(world)
    await installation.deployed(world)
    before = await installation.rows(tables.frontline_routes, app_id=world.app.id)
    ids = sorted(row["id"] for row in before)

    for listed in ([*ids, "flr_nowhere"], ["flr_nowhere", *ids], [*ids[:1], "", *ids[1:]]):
        with pytest.raises(NotFound) as raised:
            await assign(inside, world.app.id, old, *listed)
        assert raised.value.http_code == 404
        assert await installation.rows(tables.frontline_routes, app_id=world.app.id) == before


@pytest.mark.parametrize("apps", [("default", "api")])
async def test_a_route_of_another_app_and_none_moves(
    installation: Installation, inside: InsideCaller, apps: tuple[str, ...]
) -> None:
    world = await installation.world(apps=apps)
    old = await installation.deployed(world)
    await installation.deployed(world)
    await installation.deploy(await installation.deployment(world, app="api"))
    ours = await installation.rows(tables.frontline_routes, app_id=world.app.id)
    theirs = await installation.rows(tables.frontline_routes, app_id=world.apps["api"].id)

    with pytest.raises(FailedPrecondition) as raised:
        await assign(inside, world.app.id, old, *(row["id"] for row in [*ours, *theirs]))
    assert (raised.value.http_code, raised.value.reason) == (400, "OTHER_APP")
    assert await installation.rows(tables.frontline_routes, app_id=world.app.id) == ours
    assert await installation.rows(tables.frontline_routes, app_id=world.apps["api"].id) == theirs


async def test_the_key_must_be_the_app_of_the_deployment(installation: Installation, inside: InsideCaller) -> None:
    """Else two operations on one app would not exclude each other."""
    world = await installation.world(apps=("default", "api"))
    deployment_id = await installation.deployed(world)
    before = await installation.rows(tables.frontline_routes, app_id=world.app.id)
    ids = [row["id"] for row in before]

    with pytest.raises(FailedPrecondition) as raised:
        await assign(inside, world.apps["api"].id, deployment_id, *ids)
    assert raised.value.reason == "OTHER_APP"
    with pytest.raises(NotFound):
        await assign(inside, "app_nowhere", deployment_id, *ids)
    with pytest.raises(NotFound):
        await assign(inside, world.app.id, "d_nowhere", *ids)
    assert await installation.rows(tables.frontline_routes, app_id=world.app.id) == before


async def test_no_routes_are_fine(installation: Installation, inside: InsideCaller) -> None:
    world = await installation.world()
    deployment_id = await installation.deployed(world)
    before = await installation.rows(tables.frontline_routes, app_id=world.app.id)
    await assign(inside, world.app.id, deployment_id)
    assert await installation.rows(tables.frontline_routes, app_id=world.app.id) == before


async def test_ids_are_told_apart_to_the_letter(installation: Installation, inside: InsideCaller) -> None:
    """The reference's collation takes upper for lower case."""
    world = await installation.world()
    deployment_id = await installation.deployed(world)
    ids = await route_ids(installation, world)
    route_id = ids[f"shop-{world.workspace_slug}"]
    with pytest.raises(NotFound):
        await assign(inside, world.app.id, deployment_id.swapcase(), route_id)
    with pytest.raises(NotFound):
        await assign(inside, world.app.id, deployment_id, route_id.swapcase())


# --------------------------------------------------------------------------------------------------- SwitchTraffic


async def test_an_operation_switches_once(installation: Installation, inside: InsideCaller) -> None:
    """A repeat answers what the first run answered, whatever has happened since, and moves nothing."""
    world = await installation.world()
    await installation.deployed(world)
    old = await installation.deployed(world)
    first = await switch(inside, world.app.id, await operation_of(installation, old), old)
    ids = await route_ids(installation, world)
    assert set(first.moved_route_ids) == {ids[name] for name in moving(world)}
    assert (first.live, len(first.superseded_deployment_ids)) == (True, 1)

    new = await installation.deployed(world)
    before = await installation.routes(world)
    assert await switch(inside, world.app.id, await operation_of(installation, old), old) == first
    assert await installation.routes(world) == before
    assert await installation.live(world) == new
    recorded = await installation.rows(tables.hydra_route_moves, operation_id=await operation_of(installation, old))
    assert len(recorded) == 2


async def test_the_true_predecessor_is_put_to_standby_after_a_crash(installation: Installation) -> None:
    """06 · T11: the swap commits, the worker dies before the journal hears of it."""
    world = await installation.world()
    old = await installation.deployed(world)
    new = await installation.deployment(world)
    installation.kill_at("switch traffic.after")
    worker = installation.stack.worker
    call = asyncio.ensure_future(installation.ingress(f"/hydra.v1.DeployService/{new}/Deploy", request_body(new)))

    async def died() -> bool:
        return worker.exit_code is not None

    await until(died)
    await installation.stack.start_worker()
    assert (await call).status == 200

    async def rests() -> bool:
        return bool((await installation.row(tables.deployments, id=old))["desired_state"] == "standby")

    await until(rests)
    assert await installation.live(world) == new
    assert (await installation.row(tables.deployments, id=new))["desired_state"] == "running"


def request_body(deployment_id: str) -> dict[str, Any]:
    request = deploy_request(deployment_id)
    return {"deploymentId": request.deployment_id, "dockerImage": {"image": request.docker_image.image}}


async def test_a_switch_needs_an_operation_that_deploys(installation: Installation, inside: InsideCaller) -> None:
    world = await installation.world(apps=("default", "api"))
    deployment_id = await installation.deployed(world)
    before = await installation.routes(world)

    with pytest.raises(FailedPrecondition) as raised:
        await switch(inside, world.app.id, "inv_nobody", deployment_id)
    assert raised.value.reason == "SUPERSEDED"
    with pytest.raises(FailedPrecondition) as raised:
        await switch(inside, world.apps["api"].id, "inv_nobody", deployment_id)
    assert raised.value.reason == "OTHER_APP"
    with pytest.raises(NotFound):
        await switch(inside, "app_nowhere", "inv_nobody", deployment_id)
    with pytest.raises(NotFound):
        await switch(inside, world.app.id, "inv_nobody", "d_nowhere")
    assert await installation.routes(world) == before
    assert await installation.rows(tables.hydra_traffic_switches, operation_id="inv_nobody") == []


@pytest.mark.parametrize(
    ("given", "refusal"),
    [
        ({"operation_id": ""}, InvalidArgument),
        ({"deployment_id": ""}, InvalidArgument),
        ({"kind": routing_pb2.TRAFFIC_SWITCH_KIND_UNSPECIFIED}, InvalidArgument),
        ({"kind": routing_pb2.TRAFFIC_SWITCH_KIND_ROLLBACK}, InvalidArgument),
    ],
)
async def test_a_switch_that_says_too_little_is_refused(
    inside: InsideCaller, given: dict[str, Any], refusal: type[Exception]
) -> None:
    full = {"operation_id": "inv_nobody", "deployment_id": "d_nowhere", "kind": DEPLOY}
    with pytest.raises(refusal):
        await inside.call(SERVICE, "SwitchTraffic", "app", routing_pb2.SwitchTrafficRequest(**{**full, **given}))


# --------------------------------------------------------------------------------------------------- RevertTraffic


async def test_a_revert_puts_everything_back(installation: Installation, inside: InsideCaller) -> None:
    world = await installation.world()
    old = await installation.deployed(world)
    before = await installation.routes(world)
    new = await installation.deployed(world)
    operation_id = await operation_of(installation, new)

    reverted = await revert(inside, world.app.id, operation_id, new)
    ids = await route_ids(installation, world)
    assert list(reverted.restored_route_ids) == sorted(ids[name] for name in moving(world))
    assert reverted.live_pointer_restored
    routes = await installation.routes(world)
    assert {name: routes[name] for name in before} == before
    assert await installation.live(world) == old

    again = await revert(inside, world.app.id, operation_id, new)
    assert (list(again.restored_route_ids), again.live_pointer_restored) == ([], False)
    assert await installation.routes(world) == routes
    with pytest.raises(FailedPrecondition) as raised:
        await switch(inside, world.app.id, operation_id, new)
    assert raised.value.reason == "SWITCH_REVERTED"
    assert await installation.routes(world) == routes


async def test_a_second_revert_leaves_alone_what_a_later_deploy_moved(
    installation: Installation, inside: InsideCaller
) -> None:
    world = await installation.world()
    await installation.deployed(world)
    new = await installation.deployed(world)
    await revert(inside, world.app.id, await operation_of(installation, new), new)
    newest = await installation.deployed(world)
    before = await installation.routes(world)

    await revert(inside, world.app.id, await operation_of(installation, new), new)
    assert await installation.routes(world) == before
    assert await installation.live(world) == newest


async def test_a_revert_leaves_alone_what_somebody_moved_since(
    installation: Installation, inside: InsideCaller
) -> None:
    """Compare-and-set, route by route: one route was moved since, the other and the live pointer were not."""
    world = await installation.world()
    third = await installation.deployed(world)
    old = await installation.deployed(world)
    new = await installation.deployed(world)
    ids = await route_ids(installation, world)
    live, environment = f"shop-{world.workspace_slug}", f"shop-production-{world.workspace_slug}"
    await assign(inside, world.app.id, third, ids[environment])

    reverted = await revert(inside, world.app.id, await operation_of(installation, new), new)
    assert list(reverted.restored_route_ids) == [ids[live]]
    assert reverted.live_pointer_restored
    routes = await installation.routes(world)
    assert (routes[environment], routes[live]) == (third, old)
    assert await installation.live(world) == old


async def test_a_revert_leaves_alone_a_later_switch(installation: Installation, inside: InsideCaller) -> None:
    world = await installation.world()
    await installation.deployed(world)
    new = await installation.deployed(world)
    newest = await installation.deployed(world)
    before = await installation.routes(world)

    reverted = await revert(inside, world.app.id, await operation_of(installation, new), new)
    assert (list(reverted.restored_route_ids), reverted.live_pointer_restored) == ([], False)
    assert await installation.routes(world) == before
    assert await installation.live(world) == newest


async def test_a_revert_leaves_alone_the_pointer_of_a_rollback(
    installation: Installation, inside: InsideCaller
) -> None:
    """The pointer stands as the switch left it, but an operator has set the flag since."""
    world = await installation.world()
    await installation.deployed(world)
    new = await installation.deployed(world)
    await installation.set(tables.apps, {"id": world.app.id}, is_rolled_back=True)

    reverted = await revert(inside, world.app.id, await operation_of(installation, new), new)
    assert not reverted.live_pointer_restored
    assert await installation.live(world) == new


async def test_a_revert_before_the_switch_prevents_it(installation: Installation, inside: InsideCaller) -> None:
    """The undo of a cancelled deploy may overtake its own call to switch."""
    world = await installation.world()
    live = await installation.deployed(world)
    before = await installation.routes(world)
    late = await installation.deployment(world)
    async with installation.held("reserve names.before") as reached:
        call = asyncio.ensure_future(installation.ingress(f"/hydra.v1.DeployService/{late}/Deploy", request_body(late)))

        await appears(reached)
        reverted = await revert(inside, world.app.id, await operation_of(installation, late), late)
        assert (list(reverted.restored_route_ids), reverted.live_pointer_restored) == ([], False)

    answer = await call
    assert (answer.status, answer.body["metadata"]["reason"]) == (400, "SWITCH_REVERTED")
    assert await installation.status(late) == "failed"
    routes = await installation.routes(world)
    assert {name: routes[name] for name in before} == before
    assert await installation.live(world) == live


async def test_a_revert_for_nothing_that_is_known_is_refused_or_harmless(
    installation: Installation, inside: InsideCaller
) -> None:
    world = await installation.world()
    deployment_id = await installation.deployed(world)
    before = await installation.routes(world)
    with pytest.raises(NotFound):
        await revert(inside, "app_nowhere", "inv_nobody", deployment_id)
    with pytest.raises(InvalidArgument):
        await revert(inside, world.app.id, "", deployment_id)
    with pytest.raises(InvalidArgument):
        await revert(inside, world.app.id, "inv_nobody", "")
    assert await installation.routes(world) == before


async def test_an_operation_belongs_to_the_app_whose_traffic_it_moved(
    installation: Installation, inside: InsideCaller
) -> None:
    """Under another app's key, and so under another app's lock, nothing of it may be touched."""
    world = await installation.world(apps=("default", "api"))
    await installation.deployed(world)
    new = await installation.deployed(world)
    before = await installation.routes(world)
    operation_id = await operation_of(installation, new)
    for act in (revert, switch):
        with pytest.raises(FailedPrecondition) as raised:
            await act(inside, world.apps["api"].id, operation_id, new)
        assert raised.value.reason == "OTHER_SWITCH"
    assert await installation.routes(world) == before
    assert await installation.live(world) == new
    assert (await revert(inside, world.app.id, operation_id, new)).live_pointer_restored


# ------------------------------------------------------------------------------------------------------ visibility


@pytest.mark.parametrize(
    ("service", "rpc"),
    [
        ("RoutingService", "AssignFrontlineRoutes"),
        ("RoutingService", "SwitchTraffic"),
        ("RoutingService", "RevertTraffic"),
        ("DeploymentService", "ScheduleDesiredStateChange"),
        ("DeploymentService", "ChangeDesiredState"),
        ("DeploymentService", "ClearScheduledStateChanges"),
        ("VersioningService", "NextVersion"),
        ("VersioningService", "GetVersion"),
    ],
)
@pytest.mark.parametrize("mode", ["", "/send"])
async def test_private_services_are_refused_on_the_ingress(
    installation: Installation, service: str, rpc: str, mode: str
) -> None:
    answer = await installation.ingress(f"/hydra.v1.{service}/private/{rpc}{mode}", {})
    assert (answer.status, answer.body["source"]) == (400, "ingress")
    assert await installation.admin_query("select id from sys_invocation where target_service_key = 'private'") == []
