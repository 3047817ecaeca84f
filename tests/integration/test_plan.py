"""What a plan of a rollback or a promotion refuses, is refused when it is asked for, with the same words."""

import grpc.aio
import pytest
from hydra.v1 import deploy_pb2

from service.database import tables
from service.dev.world import World
from service.errors import HydraError
from service.routing.plan import plan_promotion, plan_rollback
from tests.installation import Installation
from tests.waiting import until


async def rollback(installation: Installation, source: str, target: str) -> str:
    """Return the reason of the refusal."""
    with pytest.raises(HydraError) as planned:
        await installation.database.read(lambda conn: plan_rollback(conn, source, target))
    request = deploy_pb2.RollbackRequest(source_deployment_id=source, target_deployment_id=target)
    with pytest.raises(grpc.aio.AioRpcError) as asked:
        await installation.stub.Rollback(request, timeout=30)
    return same(planned.value, asked.value)


async def promote(installation: Installation, target: str) -> str:
    """Return the reason of the refusal."""
    with pytest.raises(HydraError) as planned:
        await installation.database.read(lambda conn: plan_promotion(conn, target))
    with pytest.raises(grpc.aio.AioRpcError) as asked:
        await installation.stub.Promote(deploy_pb2.PromoteRequest(target_deployment_id=target), timeout=30)
    return same(planned.value, asked.value)


def same(planned: HydraError, asked: grpc.aio.AioRpcError) -> str:
    assert (planned.status, planned.message) == (asked.code().name, asked.details())
    return planned.reason


async def two_deployed(installation: Installation) -> tuple[World, str, str]:
    """Deploy twice, and wait until the first one rests."""
    world = await installation.world()
    old, new = await installation.deployed(world), await installation.deployed(world)

    async def rests() -> bool:
        row = await installation.row(tables.deployments, id=old)
        return bool(row["desired_state"] == "standby")

    await until(rests)
    return world, old, new


async def test_what_does_not_belong_together_is_refused(installation: Installation) -> None:
    world = await installation.world(apps=("default", "other"))
    live = await installation.deployed(world)
    preview = await installation.deployed(world, "preview")
    beside = await installation.deployed(world, app="other")
    elsewhere = await installation.deployed(await installation.world())

    assert await rollback(installation, live, "d_nobody") == "DEPLOYMENT_NOT_FOUND"
    assert await rollback(installation, "d_nobody", live) == "DEPLOYMENT_NOT_FOUND"
    assert await rollback(installation, live, elsewhere) == "OTHER_PROJECT"
    assert await rollback(installation, live, beside) == "OTHER_APP"
    assert await rollback(installation, live, preview) == "OTHER_ENVIRONMENT"
    assert await promote(installation, "d_nobody") == "DEPLOYMENT_NOT_FOUND"
    assert await promote(installation, preview) == "OTHER_ENVIRONMENT"


async def test_what_is_live_or_nothing_is_decides(installation: Installation) -> None:
    _, old, new = await two_deployed(installation)
    nothing_live = await installation.deployed(await installation.world(), "preview")

    assert await rollback(installation, old, new) == "SOURCE_NOT_LIVE"
    assert await promote(installation, new) == "ALREADY_LIVE"
    assert await promote(installation, nothing_live) == "NOTHING_LIVE"


async def test_what_cannot_serve_is_refused(installation: Installation) -> None:
    world, old, new = await two_deployed(installation)
    never = await installation.deployment(world)

    assert await rollback(installation, new, never) == "NOT_READY"
    assert await promote(installation, never) == "NOT_READY"

    await installation.set(tables.deployments, {"id": old}, desired_state="archived")
    assert await rollback(installation, new, old) == "ARCHIVED"
    assert await promote(installation, old) == "ARCHIVED"

    await installation.set(tables.deployments, {"id": old}, desired_state="standby")
    await installation.set(tables.deployment_topology, {"deployment_id": old}, deployment_id=f"{old}_gone")
    assert await rollback(installation, new, old) == "NO_TOPOLOGY"
    assert await promote(installation, old) == "NO_TOPOLOGY"


async def test_without_a_route_that_follows_the_live_one_nothing_moves(installation: Installation) -> None:
    world, old, new = await two_deployed(installation)
    for sticky in ("live", "environment"):
        await installation.set(tables.frontline_routes, {"app_id": world.app.id, "sticky": sticky}, sticky="none")

    assert await rollback(installation, new, old) == "NO_ROUTES"
    assert await promote(installation, old) == "NO_ROUTES"


async def test_a_rollback_that_does_not_run_cannot_be_confirmed(installation: Installation) -> None:
    world, old, new = await two_deployed(installation)
    request = deploy_pb2.RollbackRequest(source_deployment_id=new, target_deployment_id=old)
    await installation.stub.Rollback(request, timeout=30)
    await installation.set(tables.deployments, {"id": old}, desired_state="standby")

    assert await promote(installation, old) == "NOT_RUNNING"
    assert await installation.live(world) == old
