"""A round looks at everything, however much of it there is: what has a reason takes no place from what has none."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from hydra.v1 import github_status_pb2
from sqlalchemy import Table

from service.clock import now_ms
from service.database import tables
from service.dev.world import World
from service.workflow.reconciliation.round import MOST
from tests.installation import Installation
from tests.integration.reconciling.rounds import found_of, shows
from tests.integration.reconciling.test_dead_operations import BODY, DEPLOY, ended, under_way
from tests.integration.reconciling.test_lost import remove, topologies
from tests.reporting_site import ReportingSite
from tests.waiting import comes, until

Row = dict[str, Any]

LONG_AGO_MS = 1_000
MANY = MOST + 30
AT_ONCE = 20
IN_PROGRESS = github_status_pb2.GITHUB_DEPLOYMENT_STATE_IN_PROGRESS
LAST = "zzzzzzzz"  # in the order of ids behind all that are drawn
STATUS_SERVICE = "hydra.v1.GitHubStatusService"

pytestmark = pytest.mark.timeout(300)


async def insert(installation: Installation, table: Table, rows: Iterable[Row]) -> None:
    given = list(rows)
    await installation.database.transact(lambda conn: conn.execute(table.insert(), given))


def deployment(world: World, deployment_id: str, **columns: Any) -> Row:
    return {
        "id": deployment_id,
        "k8s_name": f"k-{deployment_id}",
        "workspace_id": world.workspace_id,
        "project_id": world.project_id,
        "app_id": world.app.id,
        "environment_id": world.app.environments["production"],
        "image": "registry.example.com/acme/shop:1.0",
        "status": "ready",
        "desired_state": "running",
        "sentinel_config": b"",
        "encrypted_environment_variables": b"",
        "cpu_millicores": 256,
        "memory_mib": 256,
        "created_at": LONG_AGO_MS,
        **columns,
    }


def running_topologies(world: World, deployment_ids: Iterable[str]) -> list[Row]:
    (region,) = world.regions.values()
    return [
        {
            "workspace_id": world.workspace_id,
            "deployment_id": deployment_id,
            "region_id": region.id,
            "desired_replicas": 1,
            "version": version,
            "desired_status": "running",
            "created_at": LONG_AGO_MS,
        }
        for version, deployment_id in enumerate(deployment_ids, 1)
    ]


def set_running(world: World, deployment_id: str) -> Row:
    """Record that somebody wants it to run."""
    return {
        "id": f"inv_{deployment_id}",
        "kind": "desired_state",
        "caller": "",
        "app_id": world.app.id,
        "deployment_id": deployment_id,
        "state": "succeeded",
        "detail": {"desired_state": "running"},
        "started_at": now_ms(),
        "ended_at": now_ms(),
    }


async def test_what_runs_for_nothing_behind_many_that_have_a_reason(reconciled: ReportingSite) -> None:
    """All are of production and not live; somebody has set all but the last one running."""
    installation = reconciled.installation
    unique = uuid4().hex[:8]
    world = await installation.world(regions=(f"pages-{unique}",))  # which no agent is in
    with_reason = [f"d_{unique}{number:04}" for number in range(MANY)]
    last = f"d_{LAST}{unique}"
    await insert(installation, tables.deployments, (deployment(world, each) for each in with_reason))
    await insert(installation, tables.deployments, [deployment(world, last, status="failed")])
    await insert(installation, tables.deployment_topology, running_topologies(world, [*with_reason, last]))
    await insert(installation, tables.hydra_operations, (set_running(world, each) for each in with_reason))
    await installation.set(tables.apps, {"id": world.app.id}, current_deployment_id=with_reason[0])
    try:
        assert await found_of(installation, last) == [("TOPOLOGY_NOT_STOPPED", "SETTLED")]

        assert await topologies(installation, last) == {}
        rows = await installation.rows(tables.deployment_topology, workspace_id=world.workspace_id)
        assert [row["desired_status"] for row in rows].count("running") == MANY
        assert await found_of(installation, last) == []
    finally:
        await installation.set(tables.apps, {"id": world.app.id}, current_deployment_id=None)
        for table in (tables.deployment_topology, tables.deployments):
            await remove(installation, table, workspace_id=world.workspace_id)


async def test_a_lost_route_behind_many_that_nothing_can_be_done_about(reconciled: ReportingSite) -> None:
    installation = reconciled.installation
    unique = uuid4().hex[:8]
    world = await installation.world()
    live = await installation.deployed(world)
    # Names of deployments that are gone stay with them; the live name goes to what is live.
    routes: list[Row] = [
        {
            "id": f"flr_{LAST}{unique}" if sticky == "live" else f"flr_{unique}{number:04}",
            "project_id": world.project_id,
            "app_id": world.app.id,
            "deployment_id": f"d_gone{number}",
            "environment_id": world.app.environments["production"],
            "fully_qualified_domain_name": f"{number}.{unique}.example.com",
            "sticky": sticky,
            "created_at": LONG_AGO_MS,
        }
        for number, sticky in enumerate([*["deployment"] * MANY, "live"])
    ]
    await insert(installation, tables.frontline_routes, routes)
    try:
        assert await found_of(installation, routes[-1]["id"]) == [("ROUTE_TO_NOTHING", "SETTLED")]

        row = await installation.row(tables.frontline_routes, id=routes[-1]["id"])
        assert row["deployment_id"] == live
        assert await found_of(installation, routes[-2]["id"]) == [("ROUTE_TO_NOTHING", "LEFT")]
    finally:
        await remove(installation, tables.frontline_routes, app_id=world.app.id)


@asynccontextmanager
async def scheduled(installation: Installation, count: int) -> AsyncIterator[list[str]]:
    """Have so many invocations that have not begun yet, while the block lasts; gives their ids."""

    async def send(number: int) -> str:
        body = {"deploymentId": f"d_nobody{number}", "dockerImage": BODY}
        answer = await installation.ingress(f"{DEPLOY}?delay=3600s", body)
        return str(answer.body["invocationId"])

    ids = await in_turns(send(number) for number in range(count))
    try:
        yield ids
    finally:
        await in_turns(installation.kill(each) for each in ids)


async def in_turns(calls: Iterable[Any]) -> list[Any]:
    """Await calls, some at once; returns their results in order."""
    waiting = list(calls)
    results = []
    for first in range(0, len(waiting), AT_ONCE):
        results += await asyncio.gather(*waiting[first : first + AT_ONCE])
    return results


async def test_a_dead_operation_behind_many_that_go_on(reconciled: ReportingSite) -> None:
    """Those are older, and Restate knows them."""
    installation = reconciled.installation
    deployment_id = await installation.deployment(await installation.world())
    async with scheduled(installation, MANY) as invocations:
        running = [
            {"id": each, "kind": "scale_down", "caller": "", "state": "running", "started_at": LONG_AGO_MS}
            for each in invocations
        ]
        await insert(installation, tables.hydra_operations, running)
        try:
            async with under_way(installation, deployment_id, "await healthy regions.before") as operation:
                await installation.kill(operation)
                await ended(installation, operation)

            assert await found_of(installation, operation) == [("OPERATION_KILLED", "SETTLED")]

            assert await installation.status(deployment_id) == "failed"
            left = await installation.rows(tables.hydra_operations, started_at=LONG_AGO_MS, state="running")
            assert len(left) == MANY
        finally:
            await remove(installation, tables.hydra_operations, started_at=LONG_AGO_MS)


async def tell(installation: Installation, key: str, state: dict[str, str]) -> None:
    """Replace what the object that reports a deployment keeps; values are as Restate keeps them."""
    url = f"{installation.stack.restate.admin_url}/services/{STATUS_SERVICE}/state"
    new_state = {name: list(value.encode()) for name, value in state.items()}
    async with installation.http.post(url, json={"object_key": key, "new_state": new_state}) as answer:
        assert answer.status == 202, await answer.text()


async def kept(installation: Installation, key: str) -> dict[str, str]:
    rows = await installation.admin_query(
        f"select key, value_utf8 from state where service_name = '{STATUS_SERVICE}' and service_key = '{key}'"
    )
    return {row["key"]: row["value_utf8"] for row in rows}


async def test_an_open_report_behind_many_of_deployments_that_are_gone(reconciled: ReportingSite) -> None:
    installation = reconciled.installation
    connected = await reconciled.connected()
    unique = uuid4().hex[:8]
    deployment_id, last = await reconciled.deployment(connected), f"d_{LAST}{unique}"
    await installation.set(tables.deployments, {"id": deployment_id}, id=last)
    await reconciled.deploy(last)
    await until(lambda: shows(reconciled, connected, last, "success"))
    under_way_state = {"told": json.dumps(IN_PROGRESS)}
    gone = [f"d_{unique}{number:04}" for number in range(4 * MOST)]
    try:
        await in_turns(tell(installation, each, under_way_state) for each in gone)
        await tell(installation, last, {**await kept(installation, last), **under_way_state})

        async def all_told() -> bool:
            rows = await installation.admin_query(
                f"select service_key from state where service_name = '{STATUS_SERVICE}' and key = 'told' "
                f"and value_utf8 = '{IN_PROGRESS}'"
            )
            return {row["service_key"] for row in rows} >= {*gone, last}

        await until(all_told)

        assert await found_of(installation, last) == [("REPORT_OPEN", "SETTLED")]

        async def closed() -> bool:
            return (await kept(installation, last))["told"] != json.dumps(IN_PROGRESS)

        assert await comes(closed, 20)
    finally:
        await in_turns(tell(installation, each, {}) for each in gone)
