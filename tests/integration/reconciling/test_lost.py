"""What points to nothing, or runs for nothing: found, and put right where that is safe."""

from typing import Any

import pytest
from sqlalchemy import Table, delete
from sqlalchemy.ext.asyncio import AsyncConnection

from service.clock import now_ms
from service.database import tables
from service.dev.world import World
from tests.installation import Installation
from tests.integration.reconciling.rounds import ROUND, found_of, go_round, shows
from tests.integration.reconciling.test_dead_operations import BODY, DEPLOY, ended, under_way
from tests.reporting_site import ReportingSite
from tests.waiting import appears, until

pytestmark = pytest.mark.usefixtures("in_order")


async def remove(installation: Installation, table: Table, **where: Any) -> None:
    """Remove rows behind the service's back."""

    async def work(conn: AsyncConnection) -> None:
        statement = delete(table)
        for name, value in where.items():
            statement = statement.where(table.c[name] == value)
        await conn.execute(statement)

    await installation.database.transact(work)


async def topologies(installation: Installation, deployment_id: str) -> dict[str, int]:
    """Read where a deployment is set to run: region → version."""
    rows = await installation.rows(tables.deployment_topology, deployment_id=deployment_id)
    return {row["region_id"]: row["version"] for row in rows if row["desired_status"] == "running"}


async def forget_pending_stop(installation: Installation, deployment_id: str) -> None:
    """End the messages that are to stop a deployment, as a purge or a restored backup of Restate would."""
    service = "hydra.v1.DeploymentService"
    coming = (
        f"select id from sys_invocation where target_service_name = '{service}' "
        f"and target_service_key = '{deployment_id}' and status <> 'completed'"
    )

    async def is_scheduled() -> bool:
        return bool(await installation.admin_query(coming + " and status = 'scheduled'"))

    await until(is_scheduled)
    for row in await installation.admin_query(coming):
        await installation.kill(row["id"])


async def replaced(installation: Installation, world: World) -> tuple[str, str]:
    """Deploy twice to production."""
    return await installation.deployed(world), await installation.deployed(world)


async def test_a_stop_that_was_lost_is_scheduled_anew(reconciled: ReportingSite) -> None:
    installation = reconciled.installation
    world = await installation.world()
    old, new = await replaced(installation, world)
    await forget_pending_stop(installation, old)

    found: list[tuple[str, str]] = []

    async def is_found() -> bool:
        """Not before its time to stop has come."""
        found.extend(await found_of(installation, old))
        return bool(found)

    await until(is_found)
    assert found == [("STANDBY_LOST", "SETTLED")]

    async def rests() -> bool:
        row = await installation.row(tables.deployments, id=old)
        return bool(row["desired_state"] == "standby") and not await topologies(installation, old)

    await until(rests)
    assert await found_of(installation, old) == []
    assert await installation.live(world) == new
    assert (await installation.row(tables.deployments, id=new))["desired_state"] == "running"


async def test_what_a_rollback_came_from_and_what_was_never_live_go_on(reconciled: ReportingSite) -> None:
    """Neither has lost its place: one may be promoted again, the other waits for that."""
    installation = reconciled.installation
    world = await installation.world()
    old, new = await replaced(installation, world)
    answer = await installation.ingress(
        "/hydra.v1.DeployService/k/Rollback", {"sourceDeploymentId": new, "targetDeploymentId": old}
    )
    assert answer.status == 200
    unrouted = await installation.deployed(world)

    for deployment_id in (old, new, unrouted):
        assert await found_of(installation, deployment_id) == []
        assert await topologies(installation, deployment_id)


async def test_one_that_was_set_running_since_is_left_alone(reconciled: ReportingSite) -> None:
    """Somebody wants it to run: the record of changes says so."""
    installation = reconciled.installation
    world = await installation.world()
    old, _ = await replaced(installation, world)
    await forget_pending_stop(installation, old)
    about = {"id": f"inv_{old}", "kind": "desired_state", "state": "succeeded", "deployment_id": old}

    async def work(conn: AsyncConnection) -> None:
        times = {"started_at": now_ms(), "ended_at": now_ms(), "detail": {"desired_state": "running"}, "caller": ""}
        await conn.execute(tables.hydra_operations.insert().values(**about, **times))

    await installation.database.transact(work)
    overdue = await installation.deployed(world)  # another turn: by the time it has rested, the first is overdue
    await until(lambda: _rests(installation, overdue, world))

    assert await found_of(installation, old) == []


async def _rests(installation: Installation, deployment_id: str, world: World) -> bool:
    if await installation.live(world) == deployment_id:
        await installation.deployed(world)
    return bool((await installation.row(tables.deployments, id=deployment_id))["desired_state"] == "standby")


@pytest.mark.out_of_order("what was live is gone")
async def test_topologies_of_a_deployment_that_is_gone_are_stopped(reconciled: ReportingSite) -> None:
    installation = reconciled.installation
    world = await installation.world()
    deployment_id = await installation.deployed(world)
    before = await topologies(installation, deployment_id)
    await remove(installation, tables.deployments, id=deployment_id)

    assert ("TOPOLOGY_ORPHANED", "SETTLED") in await found_of(installation, deployment_id)

    assert await topologies(installation, deployment_id) == {}
    rows = await installation.rows(tables.deployment_topology, deployment_id=deployment_id)
    assert all(row["version"] > before[row["region_id"]] for row in rows)  # the agents' stream shows it


async def test_what_failed_or_rests_and_is_set_to_run_is_stopped(reconciled: ReportingSite) -> None:
    installation = reconciled.installation
    world = await installation.world()
    failed, resting = await installation.deployed(world, "preview"), await installation.deployed(world, "preview")
    await installation.set(tables.deployments, {"id": failed}, status="failed")
    await installation.set(tables.deployments, {"id": resting}, desired_state="standby")

    for deployment_id in (failed, resting):
        assert await found_of(installation, deployment_id, dry_run=True) == [("TOPOLOGY_NOT_STOPPED", "WOULD_SETTLE")]
        assert await topologies(installation, deployment_id)
    await go_round(installation)
    for deployment_id in (failed, resting):
        assert await topologies(installation, deployment_id) == {}
        assert await found_of(installation, deployment_id) == []


async def test_a_sentinel_of_no_environment_is_archived(reconciled: ReportingSite) -> None:
    installation = reconciled.installation
    world = await installation.world()
    await installation.deployed(world)
    environment_id = world.app.environments["production"]
    lost = await installation.rows(tables.sentinels, environment_id=environment_id)
    await remove(installation, tables.environments, id=environment_id)

    assert await found_of(installation, lost[0]["id"]) == [("SENTINEL_ORPHANED", "SETTLED")]

    after = await installation.row(tables.sentinels, id=lost[0]["id"])
    assert (after["desired_state"], after["desired_replicas"]) == ("archived", 0)
    assert after["version"] > lost[0]["version"]


async def test_a_live_route_to_nothing_goes_to_what_is_live(reconciled: ReportingSite) -> None:
    installation = reconciled.installation
    world = await installation.world()
    live = await installation.deployed(world)
    gone = await installation.deployed(world)
    await installation.set(tables.apps, {"id": world.app.id}, current_deployment_id=live)
    await installation.set(tables.deployments, {"id": live}, desired_state="running")
    await remove(installation, tables.deployments, id=gone)
    lost = await installation.rows(tables.frontline_routes, deployment_id=gone)
    by_kind = {row["sticky"]: row for row in lost}

    found = {each["subject"]: each["fate"] for each in await go_round(installation)}

    assert found[by_kind["live"]["id"]] == found[by_kind["environment"]["id"]] == "RECONCILE_FATE_SETTLED"
    assert found[by_kind["deployment"]["id"]] == "RECONCILE_FATE_LEFT"
    for kind, leads_to in {"live": live, "environment": live, "deployment": gone}.items():
        route = await installation.row(tables.frontline_routes, id=by_kind[kind]["id"])
        assert route["deployment_id"] == leads_to


async def test_a_deployment_that_nobody_works_on_is_listed(reconciled: ReportingSite) -> None:
    installation = reconciled.installation
    world = await installation.world()
    forgotten, scheduled = await installation.deployment(world), await installation.deployment(world)
    for deployment_id in (forgotten, scheduled):
        await installation.set(tables.deployments, {"id": deployment_id}, created_at=1)
    later = f"{DEPLOY}?delay=600s"
    operation = (await installation.ingress(later, {"deploymentId": scheduled, "dockerImage": BODY})).body
    try:
        assert await found_of(installation, forgotten) == [("DEPLOYMENT_FORGOTTEN", "LEFT")]
        assert await found_of(installation, scheduled) == []
    finally:
        await installation.cancel(operation["invocationId"])


async def test_what_github_shows_as_under_way_is_closed(reconciled: ReportingSite) -> None:
    """The last report was killed: GitHub shows the deployment as in progress, although it is ready."""
    installation = reconciled.installation
    connected = await reconciled.connected()
    deployment_id = await reconciled.deployment(connected)
    async with under_way(installation, deployment_id, "reserve names.after") as operation:
        await until(lambda: shows(reconciled, connected, deployment_id, "in_progress"))
        async with installation.held("report status.before") as reached:
            (installation.stack.folder / "reserve names.after.hold").unlink()
            await appears(reached)
            for row in await installation.admin_query(
                "select id from sys_invocation where status <> 'completed' and "
                f"target_service_name = 'hydra.v1.GitHubStatusService' and target_service_key = '{deployment_id}'"
            ):
                await installation.kill(row["id"])
        (installation.stack.folder / "reserve names.after.hold").touch()  # which the end of the block takes away
        await ended(installation, operation)
    assert await installation.status(deployment_id) == "ready"
    assert await shows(reconciled, connected, deployment_id, "in_progress")

    assert await found_of(installation, deployment_id) == [("REPORT_OPEN", "SETTLED")]

    await until(lambda: shows(reconciled, connected, deployment_id, "success"))
    await until(lambda: _in_order(installation, deployment_id))


async def _in_order(installation: Installation, deployment_id: str) -> bool:
    return await found_of(installation, deployment_id) == []


async def test_a_quick_round_looks_at_operations_and_stops_alone(reconciled: ReportingSite) -> None:
    installation = reconciled.installation
    world = await installation.world()
    forgotten = await installation.deployment(world)
    await installation.set(tables.deployments, {"id": forgotten}, created_at=1)

    answer = await installation.ingress(ROUND, {})

    assert answer.status == 200
    assert forgotten not in str(answer.body)
    await remove(installation, tables.deployments, id=forgotten)
