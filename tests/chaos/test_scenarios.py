"""What must hold by force, whatever else happens at the time: 06 · L1, L2, T1, T7, T8 and X3.

Nothing here is told by a clock: what might be waited for is held while the answer comes.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import grpc.aio
import pytest
from hydra.v1 import deploy_pb2
from sqlalchemy import and_, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database import tables
from service.database.dsn import parse
from service.database.engine import Database
from service.dev.workload import AgentBehaviour
from service.dev.world import World
from service.errors import FailedPrecondition
from tests.chaos.scenario_site import (
    VARIABLES,
    fire,
    held_until,
    of_git,
    running,
    scenario_site,
    scheduled,
    secrets_of,
    spellings,
    written_down,
)
from tests.inside_caller import InsideCaller
from tests.installation import Installation, hears_in_a_step
from tests.previews import insert_previews
from tests.reporting_site import ReportingSite
from tests.servers.fake_build import FakeBuild, Refused, fetch, hangs, push, succeeds
from tests.servers.fake_buildkit import FakeBuildKit
from tests.servers.mariadb import MariaDB
from tests.waiting import appears, until

pytestmark = [pytest.mark.xdist_group("scenarios"), pytest.mark.usefixtures("in_order")]

FULL = bool(os.environ.get("HYDRA_TEST_FULL"))
POINTS = ("before", "after") if FULL else ("after",)
SLOWLY = timedelta(milliseconds=500)


@pytest.fixture(scope="module")
async def daemon() -> AsyncIterator[FakeBuildKit]:
    async with FakeBuildKit("tcp") as serving:
        yield serving


@pytest.fixture(scope="module")
async def site(
    mariadb: MariaDB, daemon: FakeBuildKit, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ReportingSite]:
    dsn = await mariadb.create_database()
    async with scenario_site(tmp_path_factory.mktemp("scenarios"), dsn, daemon) as serving:
        yield serving


@pytest.fixture(scope="module")
async def inside(site: ReportingSite) -> AsyncIterator[InsideCaller]:
    async with InsideCaller(site.installation) as caller:
        yield caller


async def rollback(house: Installation, source: str, target: str, key: str = "") -> None:
    request = deploy_pb2.RollbackRequest(source_deployment_id=source, target_deployment_id=target)
    await house.stub.Rollback(request, timeout=60, metadata=[("x-restate-key", key)] if key else [])


async def promote(house: Installation, target: str) -> None:
    await house.stub.Promote(deploy_pb2.PromoteRequest(target_deployment_id=target), timeout=60)


async def assert_live(house: Installation, world: World, deployment_id: str) -> None:
    """Check that the pointer and every route that follows the live deployment agree."""
    routes = await house.routes(world)
    names = (f"shop-{world.workspace_slug}", f"shop-production-{world.workspace_slug}")
    assert [routes[name] for name in names] == [deployment_id] * 2
    assert await house.live(world) == deployment_id


# ------------------------------------------------------------------------------------------------ L1, L2: who waits


@pytest.mark.parametrize("point", ["await healthy regions.before", "switch traffic.before"])
async def test_a_rollback_to_nothing_is_answered_while_another_app_deploys(site: ReportingSite, point: str) -> None:
    """06 · L1: under the same key, and the other deploy goes on as if nothing had been."""
    house = site.installation
    world = await house.world(apps=("default", "api"))
    key, live = world.workspace_id, await house.deployed(world)
    other = await house.deployment(world, app="api")
    async with house.held(point) as reached:
        deploying = asyncio.ensure_future(house.deploy(other, x_restate_key=key))
        await appears(reached)

        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await rollback(house, live, "d_none", key)

        assert raised.value.code() is grpc.StatusCode.NOT_FOUND
        assert not deploying.done()
    await deploying

    (attempt,) = await house.rows(tables.hydra_deployment_attempts, deployment_id=other)
    assert (attempt["state"], await house.status(other)) == ("succeeded", "ready")


async def test_nothing_waits_for_a_build(site: ReportingSite, daemon: FakeBuildKit) -> None:
    """06 · L2: a rollback of the app that builds, and a deploy of another, both under the key of the build."""
    house, connected = site.installation, await site.connected(apps=("default", "api"))
    world, released = connected.world, asyncio.Event()
    key = world.workspace_id
    old, new = [await house.deployed(world) for _ in range(2)]
    building = await site.deployment(connected, "preview")
    daemon.script(held_until(released))
    begun = len(daemon.builds)
    request = of_git(connected, building)
    build = asyncio.ensure_future(house.stub.Deploy(request, timeout=90, metadata=[("x-restate-key", key)]))

    async def is_building() -> bool:
        return len(daemon.builds) > begun and daemon.builds[begun].begun.is_set()

    await until(is_building)
    await rollback(house, new, old, key)
    await house.deploy(await house.deployment(world, app="api"), x_restate_key=key)

    await assert_live(house, world, old)
    assert (build.done(), await house.status(building)) == (False, "building")
    released.set()
    await build
    assert (len(daemon.builds), await house.status(building)) == (begun + 1, "ready")
    await assert_live(house, world, old)


@hears_in_a_step
async def test_a_build_that_has_been_silent_for_long_hears_of_its_cancellation(
    site: ReportingSite, daemon: FakeBuildKit
) -> None:
    """06 · L7: longer than an invocation may be inactive, which a deploy is for as long as its build lasts."""
    house, connected = site.installation, await site.connected()
    building = await site.deployment(connected)
    daemon.script(hangs())
    begun = len(daemon.builds)
    build = asyncio.ensure_future(house.stub.Deploy(of_git(connected, building), timeout=60))

    async def is_building() -> bool:
        return len(daemon.builds) > begun and daemon.builds[begun].begun.is_set()

    await until(is_building)
    await house.cancel(await house.operation(building))
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await build

    assert raised.value.code() is grpc.StatusCode.CANCELLED
    await daemon.builds[begun].ended.wait()
    assert daemon.builds[begun].cancelled


# --------------------------------------------------------------------------------------------- T1: what fails for good


@pytest.mark.parametrize("crash", ["", "before", "after"])
async def test_a_deploy_that_ends_badly_after_its_switch_gives_everything_back(
    site: ReportingSite, inside: InsideCaller, crash: str
) -> None:
    """06 · T1: the very last thing that can go wrong, when the traffic has moved already."""
    house = site.installation
    world = await house.world()
    live = await house.deployed(world)
    failing = await house.deployment(world)
    before = await house.routes(world)

    await cancelled_after_its_switch(house, house.deploy(failing), ("deploy", failing), crash)

    await assert_live(house, world, live)
    assert {name: owner for name, owner in (await house.routes(world)).items() if name in before} == before
    assert (await running(house, live), await running(house, failing)) == (
        ("running", {"running"}),
        ("archived", {"stopped"}),
    )
    assert await scheduled(inside, live) is None
    calls = await house.admin_query(
        f"select id from sys_invocation where target_service_key = '{live}' "
        "and target_handler_name = 'ScheduleDesiredStateChange'"
    )
    assert calls == []


@pytest.mark.parametrize("crash", ["", "before", "after"])
@pytest.mark.parametrize("kind", ["rollback", "promote"] if FULL else ["rollback"])
async def test_a_move_of_traffic_that_ends_badly_after_its_switch_lets_its_target_rest_again(
    site: ReportingSite, inside: InsideCaller, kind: str, crash: str
) -> None:
    house = site.installation
    world = await house.world()
    resting, live = [await house.deployed(world) for _ in range(2)]
    await put_to_rest(house, inside, resting)
    before = await house.routes(world)
    call = rollback(house, live, resting) if kind == "rollback" else promote(house, resting)

    await cancelled_after_its_switch(house, call, (kind, resting), crash)

    async def rests() -> bool:
        return await running(house, resting) == ("standby", {"stopped"})

    await until(rests)
    await assert_live(house, world, live)
    assert (await house.routes(world), await running(house, live)) == (before, ("running", {"running"}))
    assert await scheduled(inside, live) is None


async def cancelled_after_its_switch(
    house: Installation, call: Awaitable[None], operation: tuple[str, str], crash: str
) -> None:
    """Make a call, and cancel it once it has moved the traffic; the worker may die at the undo, `before` or `after`.

    The operation is told by its kind and its deployment.
    """
    kind, deployment_id = operation
    async with house.held("switch traffic.after") as reached:
        calling = asyncio.ensure_future(call)
        await appears(reached)
        id_ = (await house.row(tables.hydra_operations, kind=kind, deployment_id=deployment_id))["id"]
        if crash:
            house.kill_at(f"undo {kind}.{crash}")
        await house.cancel(id_)
    with pytest.raises(grpc.aio.AioRpcError):
        await calling
    if crash:

        async def is_dead() -> bool:
            return house.stack.worker.exit_code is not None

        await until(is_dead)
        await house.stack.start_worker()

    async def has_ended() -> bool:
        rows = await house.admin_query(f"select status from sys_invocation where id = '{id_}'")
        return bool(rows[0]["status"] == "completed")

    await until(has_ended)
    assert (await house.row(tables.hydra_operations, id=id_))["state"] == "cancelled"


# ------------------------------------------------------------------------------------------------ T7: always answered


@dataclass
class Watch:
    """What a visitor finds: `owners` in the order of their first look, `dead` those that a name led to in vain."""

    owners: list[str] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)


@asynccontextmanager
async def visited(house: Installation, world: World) -> AsyncIterator[Watch]:
    """Look without a pause, by a connection of its own, whether the names of production lead to what runs."""
    seen, over = Watch(), asyncio.Event()
    database = await Database.open(parse(house.stack.dsn))
    routes, instances = tables.frontline_routes, tables.instances
    alive = and_(instances.c.deployment_id == routes.c.deployment_id, instances.c.status == "running")
    query = (
        select(routes.c.deployment_id, func.count(instances.c.id))
        .outerjoin(instances, alive)
        .where(routes.c.app_id == world.app.id, routes.c.sticky.in_(["live", "environment"]))
        .group_by(routes.c.fully_qualified_domain_name, routes.c.deployment_id)
    )

    async def look(conn: AsyncConnection) -> None:
        for owner, count in await conn.execute(query):
            if owner not in seen.owners[-1:]:
                seen.owners.append(owner)
            if not count:
                seen.dead.append(owner)

    async def go_on() -> None:
        while not over.is_set():
            await database.read(look)

    looking = asyncio.ensure_future(go_on())
    try:
        yield seen
    finally:
        over.set()
        await looking
        await database.close()


async def put_to_rest(house: Installation, inside: InsideCaller, deployment_id: str) -> None:
    """Let the time of a deployment's scheduled stop come, and wait until nothing of it runs."""

    async def is_scheduled() -> bool:
        return await scheduled(inside, deployment_id) is not None

    async def is_gone() -> bool:
        return not await house.rows(tables.instances, deployment_id=deployment_id)

    await until(is_scheduled)
    change = await scheduled(inside, deployment_id)
    assert change is not None
    await fire(inside, deployment_id, change)
    await until(is_gone)


async def test_no_name_ever_leads_to_what_does_not_run(site: ReportingSite, inside: InsideCaller) -> None:
    """06 · T7: back to what rests and is slow to wake, confirmed, and forth again to what rests by then."""
    house = site.installation
    world = await house.world()
    a, b = [await house.deployment(world) for _ in range(2)]
    for deployment_id in (a, b):
        for agent in house.agents.values():
            agent.behave(AgentBehaviour(start_delay=SLOWLY), deployment_id)
        await house.deploy(deployment_id)
    await put_to_rest(house, inside, a)

    async with visited(house, world) as seen:

        async def leads_to(owner: str) -> None:
            async def is_seen() -> bool:
                return seen.owners[-1:] == [owner]

            await until(is_seen)

        await leads_to(b)
        await rollback(house, b, a)
        await leads_to(a)
        await promote(house, a)
        await put_to_rest(house, inside, b)
        await promote(house, b)
        await leads_to(b)
        await put_to_rest(house, inside, a)

    assert (seen.owners, seen.dead) == ([b, a, b], [])


# ------------------------------------------------------------------------------------------ T8: a stop in the middle


async def steps_of(house: Installation, operation_id: str) -> list[str]:
    """Read the names of the steps that an operation took, and of those that it had others take."""
    called = await house.admin_query(f"select id from sys_invocation where invoked_by_id = '{operation_id}'")
    ids = ", ".join(f"'{row['id']}'" for row in [{"id": operation_id}, *called])
    entries = await house.admin_query(
        f"select name from sys_journal where entry_type = 'Command: Run' and id in ({ids})"
    )
    return sorted({entry["name"] for entry in entries})


async def replaced(house: Installation, inside: InsideCaller) -> tuple[World, str, str, dict[str, Any]]:
    """Deploy twice: gives the deployment that was replaced, the live one, and the stop that awaits the first."""
    world = await house.world(regions=("us-east-1",))
    a, b = [await house.deployed(world) for _ in range(2)]

    async def is_scheduled() -> bool:
        return await scheduled(inside, a) is not None

    await until(is_scheduled)
    stop = await scheduled(inside, a)
    assert stop is not None
    return world, a, b, stop


async def come(inside: InsideCaller, deployment_id: str, stop: dict[str, Any]) -> None:
    """Let the time of a stop come; while a promote of the deployment is on its way it may be refused."""
    with suppress(FailedPrecondition):
        await fire(inside, deployment_id, stop)


async def test_a_stop_that_comes_at_any_step_of_a_promote_stops_nothing_that_is_live(
    site: ReportingSite, inside: InsideCaller
) -> None:
    """06 · T8: the steps are those that an undisturbed promote took."""
    house = site.installation
    world, a, _, _ = await replaced(house, inside)
    await promote(house, a)
    (operation,) = await house.rows(tables.hydra_operations, kind="promote", to_deployment_id=a)
    steps = await steps_of(house, operation["id"])
    assert {"check promote", "wake deployment", "switch traffic"} <= set(steps)

    for held in [f"{step}.{point}" for step in steps for point in POINTS]:
        world, a, b, stop = await replaced(house, inside)
        async with house.held(held) as reached:
            promoting = asyncio.ensure_future(promote(house, a))
            await appears(reached)
            await come(inside, a, stop)
            assert not promoting.done()
        await promoting

        await assert_rests_unlike(house, inside, world, b, a)


@pytest.mark.parametrize("point", POINTS)
async def test_a_promote_in_the_middle_of_a_stop_wakes_what_is_being_stopped(
    site: ReportingSite, inside: InsideCaller, point: str
) -> None:
    """06 · T8, the other way round."""
    house = site.installation
    world, a, b, stop = await replaced(house, inside)
    async with house.held(f"change desired state.{point}") as reached:
        stopping = asyncio.ensure_future(come(inside, a, stop))
        await appears(reached)
        promoting = asyncio.ensure_future(promote(house, a))

        async def has_begun() -> bool:
            return bool(await house.rows(tables.hydra_operations, kind="promote", to_deployment_id=a))

        await until(has_begun)
    await asyncio.gather(stopping, promoting)

    await assert_rests_unlike(house, inside, world, b, a)


async def assert_rests_unlike(house: Installation, inside: InsideCaller, world: World, left: str, live: str) -> None:
    """Check that the live deployment runs with no stop ahead of it, and that the one it left will rest."""
    await assert_live(house, world, live)
    assert (await running(house, live), await scheduled(inside, live)) == (("running", {"running"}), None)
    await put_to_rest(house, inside, left)
    assert await running(house, left) == ("standby", {"stopped"})


# ------------------------------------------------------------------------------------------ X3: nothing secret is shown


async def ends(call: Awaitable[Any]) -> str:
    """Wait for a call's end; gives all that the caller is told."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return f"{error!r} {error.initial_metadata()!r} {error.trailing_metadata()!r}"
    return "OK"


async def builds(site: ReportingSite, daemon: FakeBuildKit) -> list[str]:
    """Deploy from git: one that succeeds, and one whose builder says back all that it was shown."""
    connected = await site.connected()
    connected.repository.open_pull_request(connected.branch)
    well, badly = [await site.deployment(connected) for _ in range(2)]
    daemon.script(succeeds(), says_all)
    return [await ends(site.installation.stub.Deploy(of_git(connected, each), timeout=60)) for each in (well, badly)]


async def says_all(build: FakeBuild) -> str:
    await fetch(build)
    await push(build)
    shown = [secret.decode() for secret in build.secrets.values()] + [p for _, p in build.credentials.values()]
    raise Refused(f"failed to solve: {' '.join(shown)}")


async def failures(site: ReportingSite) -> list[str]:
    """Deploy an app with variables: cancelled in the middle, and while a table is away; call for what cannot be."""
    house = site.installation
    world = await house.world()
    cancelled, refused_a_table = [await house.deployment(world) for _ in range(2)]
    for deployment_id in (cancelled, refused_a_table):
        await house.set(tables.deployments, {"id": deployment_id}, encrypted_environment_variables=VARIABLES.encode())
    async with house.held("provision regions.after") as reached:
        call = asyncio.ensure_future(house.deploy(cancelled))
        await appears(reached)
        await house.cancel(await house.operation(cancelled))
    said = [await ends(call)]
    complaints = complained(house)
    call = asyncio.ensure_future(house.deploy(refused_a_table, timeout=60))
    async with without(house, "deployment_steps"):

        async def is_noticed() -> bool:
            return complained(house) > complaints

        await until(is_noticed)
    said.append(await ends(call))
    sweep = deploy_pb2.ScaleDownIdlePreviewDeploymentsRequest()
    await insert_previews(house.database, await house.world(regions=("nowhere-1",), apps=()), 1, 1)
    return [
        *said,
        await ends(rollback(house, refused_a_table, "d_none")),
        await ends(house.stub.ScaleDownIdlePreviewDeployments(sweep, timeout=60)),
    ]


def complained(house: Installation) -> int:
    """Count the steps that ended with what nobody thought of, which is logged as it is."""
    return house.stack.worker_log.read_text().count("step failed unexpectedly")


@asynccontextmanager
async def without(house: Installation, table: str) -> AsyncIterator[None]:
    """Have a table away while the block lasts, so that the database refuses statements, and quotes them."""

    async def rename(before: str, after: str) -> None:
        await house.database.transact(lambda conn: conn.execute(text(f"ALTER TABLE {before} RENAME TO {after}")))

    await rename(table, f"{table}_away")
    try:
        yield
    finally:
        await rename(f"{table}_away", table)


async def test_nothing_secret_is_shown_anywhere(site: ReportingSite, daemon: FakeBuildKit) -> None:
    """06 · X3: every key that takes a secret has one, and deploys succeed, fail, are refused and are cancelled."""
    house, began = site.installation, len(daemon.builds)
    said = [*await builds(site, daemon), *await failures(site)]

    secrets, shown = secrets_of(site), daemon.builds[began:]
    assert [each == "OK" for each in said] == [True, False, False, True, False, False]
    assert [[*build.credentials.values()] for build in shown] == [[("robot", secrets["registry.password"])]] * 2
    assert [len(build.secrets) for build in shown] == [1, 1]
    for where, written in {**await written_down(house), "what callers were told": "\n".join(said)}.items():
        found = {what for what, secret in secrets.items() if any(each in written for each in spellings(secret))}
        assert found == set(), where
