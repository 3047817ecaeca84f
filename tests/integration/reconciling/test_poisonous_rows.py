"""One thing that cannot be settled holds up no other: each finding of a round is settled by itself."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Table

from service.database import tables
from tests.installation import Installation
from tests.integration.reconciling.rounds import go_round, shows
from tests.integration.reconciling.test_dead_operations import ended, under_way
from tests.integration.reconciling.test_lost import remove, topologies
from tests.reporting_site import ReportingSite, reporting_site
from tests.servers.mariadb import MariaDB
from tests.waiting import comes, until

# What cannot be done is given up soon.
HASTY = {"HYDRA_DEPLOY__STEP_TIMEOUT": "2s", "HYDRA_DEPLOY__HEALTH_TIMEOUT": "30s"}
PARENTS: dict[str, Table] = {
    "environment": tables.environments,
    "app": tables.apps,
    "project": tables.projects,
    "workspace": tables.workspaces,
}


@pytest.fixture(scope="module")
async def hasty(server: MariaDB | None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ReportingSite]:
    """Run an installation that goes no rounds by itself, and gives a step up after a moment."""
    dsn = await server.create_database() if server else ""
    async with reporting_site(tmp_path_factory.mktemp("hasty"), dsn, HASTY) as running:
        yield running


@pytest.fixture(autouse=True)
async def nothing_is_left(hasty: ReportingSite) -> AsyncIterator[None]:
    """Leave no operation to the rounds of the next test that this one's did not settle."""
    yield
    await hasty.installation.set(tables.hydra_operations, {"state": "running"}, state="failed")


@asynccontextmanager
async def refusing(installation: Installation, table: Table, column: str, value: str) -> AsyncIterator[None]:
    """Have the database refuse changes of some rows; what agents report of a sentinel is let through."""
    name = f"refuse_{uuid4().hex}"
    of_row = f"OLD.{column} = '{value}'"
    if table is tables.sentinels:
        of_row += " AND NEW.version <> OLD.version"
    if installation.database.dialect == "sqlite":
        body = f"WHEN {of_row} BEGIN SELECT RAISE(ABORT, 'refused'); END"
    else:
        body = f"IF {of_row} THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'refused'; END IF"
    create = f"CREATE TRIGGER {name} BEFORE UPDATE ON {table.name} FOR EACH ROW {body}"
    await installation.database.transact(lambda conn: conn.exec_driver_sql(create))
    try:
        yield
    finally:
        await installation.database.transact(lambda conn: conn.exec_driver_sql(f"DROP TRIGGER {name}"))


async def killed(installation: Installation, deployment_id: str) -> str:
    """Deploy until it is provisioned, and kill that; returns the operation."""
    async with under_way(installation, deployment_id, "await healthy regions.before") as operation:
        await installation.kill(operation)
        await ended(installation, operation)
    assert await topologies(installation, deployment_id)
    return operation


def fates(findings: list[dict[str, Any]], subjects: Collection[str]) -> dict[str, list[tuple[str, str]]]:
    """Return kind and fate of everything that was found of each subject."""
    return {
        subject: [
            (each["kind"], each["fate"].removeprefix("RECONCILE_FATE_"))
            for each in findings
            if each["subject"] == subject
        ]
        for subject in subjects
    }


def assert_told(findings: list[dict[str, Any]], before: list[dict[str, Any]], subject: str) -> None:
    """Check that what was left says why: more than what was found at first, when it was to be settled."""
    (would,) = [each["message"] for each in before if each["subject"] == subject]
    (left,) = [each["message"] for each in findings if each["subject"] == subject]
    assert left
    assert left != would


async def is_undone(installation: Installation, deployment_id: str) -> bool:
    return await installation.status(deployment_id) == "failed" and not await topologies(installation, deployment_id)


def one_for_each(kind: str, left: str, settled: list[str]) -> dict[str, list[tuple[str, str]]]:
    return {left: [(kind, "LEFT")], **{subject: [(kind, "SETTLED")] for subject in settled}}


# ------------------------------------------------------------------------------------------ what it belonged to is gone


@pytest.mark.parametrize("parent", PARENTS)
async def test_a_dead_deploy_of_what_is_deleted_holds_up_no_other(hasty: ReportingSite, parent: str) -> None:
    installation = hasty.installation
    orphan, other = await installation.deployment(await installation.world()), ""
    row = await installation.row(tables.deployments, id=orphan)
    first = await killed(installation, orphan)
    await remove(installation, PARENTS[parent], id=row[f"{parent}_id"])
    other = await installation.deployment(await installation.world())
    second = await killed(installation, other)

    found = await go_round(installation)

    assert [each for each in found if each["kind"] == "NOT_LOOKED_AT"] == []
    known = fates(found, [first, second])
    assert known[second] == [("OPERATION_KILLED", "SETTLED")]
    assert await is_undone(installation, other)
    assert known[first] in ([("OPERATION_KILLED", "SETTLED")], [("OPERATION_KILLED", "LEFT")])
    if known[first] == [("OPERATION_KILLED", "SETTLED")]:
        assert await is_undone(installation, orphan)
        assert fates(await go_round(installation), [first, second]) == {first: [], second: []}


@pytest.mark.parametrize("parent", PARENTS)
async def test_github_hears_of_it_all_the_same(hasty: ReportingSite, parent: str) -> None:
    installation = hasty.installation
    connected = await hasty.connected()
    deployment_id = await hasty.deployment(connected)
    row = await installation.row(tables.deployments, id=deployment_id)
    async with under_way(installation, deployment_id, "await healthy regions.before") as operation:
        await until(lambda: shows(hasty, connected, deployment_id, "in_progress"))
        await installation.kill(operation)  # and with it whatever it has sent and is not done
        await ended(installation, operation)
    await remove(installation, PARENTS[parent], id=row[f"{parent}_id"])

    assert fates(await go_round(installation), [operation]) == {operation: [("OPERATION_KILLED", "SETTLED")]}

    assert await comes(lambda: shows(hasty, connected, deployment_id, "error"), within_s=10)


# ------------------------------------------------------------------------------------------ what the database refuses


async def test_an_operation_that_cannot_be_settled_is_listed_and_the_others_are_settled(hasty: ReportingSite) -> None:
    """The first in the order of a round; it is settled as soon as that can be done."""
    installation = hasty.installation
    deployments = [await installation.deployment(await installation.world()) for _ in range(3)]
    operations = [await killed(installation, deployment_id) for deployment_id in deployments]
    before = await go_round(installation, dry_run=True)
    async with refusing(installation, tables.deployments, "id", deployments[0]):
        found = await go_round(installation)

    assert [each for each in found if each["kind"] == "NOT_LOOKED_AT"] == []
    assert fates(found, operations) == one_for_each("OPERATION_KILLED", operations[0], operations[1:])
    assert_told(found, before, operations[0])
    assert [await is_undone(installation, each) for each in deployments] == [False, True, True]
    assert fates(await go_round(installation), operations[:1]) == {operations[0]: [("OPERATION_KILLED", "SETTLED")]}
    assert await is_undone(installation, deployments[0])


async def test_what_runs_for_nothing_and_cannot_be_stopped_holds_up_no_other(hasty: ReportingSite) -> None:
    installation = hasty.installation
    world = await installation.world()
    failed = sorted([await installation.deployed(world, "preview") for _ in range(3)])
    for deployment_id in failed:
        await installation.set(tables.deployments, {"id": deployment_id}, status="failed")
    before = await go_round(installation, dry_run=True)
    async with refusing(installation, tables.deployment_topology, "deployment_id", failed[0]):
        found = await go_round(installation)

    assert [each for each in found if each["kind"] == "NOT_LOOKED_AT"] == []
    assert fates(found, failed) == one_for_each("TOPOLOGY_NOT_STOPPED", failed[0], failed[1:])
    assert_told(found, before, failed[0])
    assert [bool(await topologies(installation, each)) for each in failed] == [True, False, False]
    assert fates(await go_round(installation), failed[:1]) == {failed[0]: [("TOPOLOGY_NOT_STOPPED", "SETTLED")]}


async def test_orphaned_topologies_that_cannot_be_stopped_hold_up_no_others(hasty: ReportingSite) -> None:
    installation = hasty.installation
    world = await installation.world()
    gone = sorted([await installation.deployed(world, "preview") for _ in range(3)])
    for deployment_id in gone:
        await remove(installation, tables.deployments, id=deployment_id)
    before = await go_round(installation, dry_run=True)
    async with refusing(installation, tables.deployment_topology, "deployment_id", gone[0]):
        found = await go_round(installation)

    assert [each for each in found if each["kind"] == "NOT_LOOKED_AT"] == []
    assert fates(found, gone) == one_for_each("TOPOLOGY_ORPHANED", gone[0], gone[1:])
    assert_told(found, before, gone[0])
    assert [bool(await topologies(installation, each)) for each in gone] == [True, False, False]
    assert fates(await go_round(installation), gone[:1]) == {gone[0]: [("TOPOLOGY_ORPHANED", "SETTLED")]}


async def test_a_sentinel_that_cannot_be_archived_holds_up_no_other(hasty: ReportingSite) -> None:
    installation = hasty.installation
    world = await installation.world()
    await installation.deployed(world)
    environment_id = world.app.environments["production"]
    rows = await installation.rows(tables.sentinels, environment_id=environment_id)
    lost = sorted(row["id"] for row in rows)
    await remove(installation, tables.environments, id=environment_id)
    before = await go_round(installation, dry_run=True)
    async with refusing(installation, tables.sentinels, "id", lost[0]):
        found = await go_round(installation)

    assert [each for each in found if each["kind"] == "NOT_LOOKED_AT"] == []
    assert fates(found, lost) == one_for_each("SENTINEL_ORPHANED", lost[0], lost[1:])
    assert_told(found, before, lost[0])
    states = [(await installation.row(tables.sentinels, id=each))["desired_state"] for each in lost]
    assert states == ["running", "archived", "archived"]
    assert fates(await go_round(installation), lost[:1]) == {lost[0]: [("SENTINEL_ORPHANED", "SETTLED")]}


async def test_a_route_that_cannot_be_pointed_holds_up_no_other(hasty: ReportingSite) -> None:
    installation = hasty.installation
    world = await installation.world()
    live, gone = await installation.deployed(world), await installation.deployed(world)
    await installation.set(tables.apps, {"id": world.app.id}, current_deployment_id=live)
    await installation.set(tables.deployments, {"id": live}, desired_state="running")
    await remove(installation, tables.deployments, id=gone)
    rows = await installation.rows(tables.frontline_routes, deployment_id=gone)
    lost = sorted(row["id"] for row in rows if row["sticky"] in ("live", "environment"))
    before = await go_round(installation, dry_run=True)
    async with refusing(installation, tables.frontline_routes, "id", lost[0]):
        found = await go_round(installation)

    assert [each for each in found if each["kind"] == "NOT_LOOKED_AT"] == []
    assert fates(found, lost) == one_for_each("ROUTE_TO_NOTHING", lost[0], lost[1:])
    assert_told(found, before, lost[0])
    leads_to = [(await installation.row(tables.frontline_routes, id=each))["deployment_id"] for each in lost]
    assert leads_to == [gone, live]
    assert fates(await go_round(installation), lost[:1]) == {lost[0]: [("ROUTE_TO_NOTHING", "SETTLED")]}


async def test_several_kinds_that_cannot_be_settled_are_listed_side_by_side(hasty: ReportingSite) -> None:
    """One round, with something of each kind that is refused and something that is not."""
    installation = hasty.installation
    world = await installation.world()
    stuck = [await installation.deployment(await installation.world()) for _ in range(2)]
    operations = [await killed(installation, deployment_id) for deployment_id in stuck]
    failed = sorted([await installation.deployed(world, "preview") for _ in range(2)])
    for deployment_id in failed:
        await installation.set(tables.deployments, {"id": deployment_id}, status="failed")
    async with (
        refusing(installation, tables.deployments, "id", stuck[0]),
        refusing(installation, tables.deployment_topology, "deployment_id", failed[0]),
    ):
        found = await go_round(installation)

    assert fates(found, [*operations, *failed]) == {
        **one_for_each("OPERATION_KILLED", operations[0], operations[1:]),
        **one_for_each("TOPOLOGY_NOT_STOPPED", failed[0], failed[1:]),
    }
