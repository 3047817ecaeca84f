"""Versions: what a regional agent that polls `version > cursor` relies on (02 · 6, 06 · V1 and decision 3)."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hydra.v1 import versioning_pb2
from sqlalchemy import Table

from service.database import tables
from service.dev.stack import LocalStack
from service.dev.workload import AgentBehaviour
from tests.inside_caller import InsideCaller
from tests.installation import Installation, stack_options
from tests.servers.mariadb import MariaDB
from tests.version_readers import STAMPED, given_twice, reading
from tests.waiting import until

SERVICE = "hydra.v1.VersioningService"
FULL = bool(os.environ.get("HYDRA_TEST_FULL"))
DEPLOYS = 200 if FULL else 40
CANCELLED = 4


@pytest.fixture(scope="module")
async def inside(installation: Installation) -> AsyncIterator[InsideCaller]:
    async with InsideCaller(installation) as caller:
        yield caller


# ------------------------------------------------------------------------------------------------- V1: no row is missed


@pytest.fixture(scope="module")
async def busy(server: MariaDB | None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    """Run an installation where a deploy may wait for long, so that a slow machine fails none."""
    folder = tmp_path_factory.mktemp("busy")
    options = stack_options(folder, await server.create_database() if server else "")
    without_haste = replace(options, deploy={"health_timeout": '"8m"' if FULL else '"90s"', "standby_delay": '"1s"'})
    async with Installation(LocalStack(folder, without_haste)) as running:
        yield running


@pytest.mark.timeout(900 if FULL else 300)
async def test_a_polling_reader_misses_no_row(busy: Installation) -> None:
    """Deploys, redeploys, cancellations and standbys at once; every version that stands at the end was seen."""
    worlds = [
        await busy.world(apps=("default", "api"), quota_cpu_millicores=10**6, quota_memory_mib=10**6) for _ in range(5)
    ]
    region_ids = sorted(region.id for region in worlds[0].regions.values())
    all_of_them = [
        await busy.deployment(
            worlds[number % 5],
            ("production", "preview")[number // 10 % 2],
            app=("default", "api")[number // 5 % 2],
            git_branch=f"branch-{number % 7}",
        )
        for number in range(DEPLOYS)
    ]
    cancelled = all_of_them[:: DEPLOYS // CANCELLED]
    for agent in busy.agents.values():
        for deployment_id in cancelled:
            agent.behave(AgentBehaviour(dead=True), deployment_id)

    async with reading(busy, region_ids) as readers:
        deploys = [asyncio.ensure_future(busy.deploy(deployment_id, timeout=900)) for deployment_id in all_of_them]
        for deployment_id in cancelled:
            await cancel_provisioned(busy, deployment_id)
        ends = await asyncio.gather(*deploys, return_exceptions=True)
        await until(lambda: settled(busy))

    for reader in readers:
        assert reader.looks > 20
        for table, missed in (await reader.missed(busy)).items():
            assert not missed, f"{table} of {reader.region_id}"
    # Agents that miss an order do not carry it out.
    assert [id_ for id_, end in zip(all_of_them, ends, strict=True) if end is not None] == cancelled
    await assert_no_version_twice(busy)


async def cancel_provisioned(installation: Installation, deployment_id: str) -> None:
    """Cancel a deploy that waits for its regions, so that what it wrote is stopped."""

    async def provisioned() -> bool:
        return bool(await installation.rows(tables.deployment_topology, deployment_id=deployment_id))

    await until(provisioned)
    await installation.cancel(await installation.operation(deployment_id))


async def counters(installation: Installation, region_ids: Sequence[str]) -> dict[str, int]:
    rows = {row["region_id"]: row["version"] for row in await installation.rows(tables.hydra_region_versions)}
    return {region_id: rows.get(region_id, 0) for region_id in region_ids}


async def settled(installation: Installation) -> bool:
    """Tell whether every deployment that lost its place rests."""
    switches = await installation.rows(tables.hydra_traffic_switches)
    lost = {id_ for switch in switches for id_ in switch["result"].get("superseded_deployment_ids", ())}
    resting = {row["id"] for row in await installation.rows(tables.deployments, desired_state="standby")}
    return lost <= resting


async def stand_in(installation: Installation, table: Table, region_id: str, above: int) -> set[int]:
    rows = await installation.rows(table, region_id=region_id)
    return {row["version"] for row in rows if row["version"] > above}


async def assert_no_version_twice(installation: Installation) -> None:
    """Look at all regions and all three tables together, whoever wrote the rows."""
    assert await given_twice(installation) == []


# ----------------------------------------------------------------------------------------------- VersioningService


async def next_version(inside: InsideCaller, region_id: str) -> int:
    answer = await inside.call(SERVICE, "NextVersion", region_id, versioning_pb2.NextVersionRequest())
    return int(answer.version)


async def get_version(inside: InsideCaller, region_id: str) -> int:
    answer = await inside.call(SERVICE, "GetVersion", region_id, versioning_pb2.GetVersionRequest())
    return int(answer.version)


def a_region() -> str:
    return f"reg_{uuid.uuid4().hex[:8]}"


async def stamp(installation: Installation, table: Table, region_id: str, version: int) -> None:
    """Insert a row as an earlier worker did, with a version of its own counting."""
    unique = uuid.uuid4().hex
    ids = ("workspace_id", "project_id", "app_id", "environment_id", "deployment_id")
    row: dict[str, Any] = {name: f"{name}-{unique}"[:64] for name in ids if name in table.c}
    row |= {"region_id": region_id, "version": version, "created_at": 1}
    if table is tables.deployment_topology:
        row |= {"desired_replicas": 1, "desired_status": "stopped"}
    else:
        row |= {"id": f"x_{unique}", "k8s_name": unique}
    if table is tables.sentinels:
        row |= {"k8s_address": unique, "image": "image", "desired_replicas": 1, "available_replicas": 0}
        row |= {"cpu_millicores": 1, "memory_mib": 1}
    if table is tables.cilium_network_policies:
        row |= {"k8s_namespace": "sentinel", "policy": {}}
    await installation.database.transact(lambda conn: conn.execute(table.insert().values(row)))


async def test_versions_count_from_one(inside: InsideCaller) -> None:
    region_id = a_region()
    assert await get_version(inside, region_id) == 0
    assert [await next_version(inside, region_id) for _ in range(3)] == [1, 2, 3]
    assert await get_version(inside, region_id) == 3
    assert await next_version(inside, a_region()) == 1


async def test_a_look_takes_no_number(installation: Installation, inside: InsideCaller) -> None:
    region_id = a_region()
    for _ in range(3):
        assert await get_version(inside, region_id) == 0
    assert await installation.rows(tables.hydra_region_versions, region_id=region_id) == []


@pytest.mark.parametrize("table", STAMPED, ids=lambda table: str(table.name))
async def test_the_first_number_is_above_all_that_are_in_use(
    installation: Installation, inside: InsideCaller, table: Table
) -> None:
    region_id = a_region()
    for each in STAMPED:
        await stamp(installation, each, region_id, 70 if each is table else 7)
    await stamp(installation, table, a_region(), 900)
    assert await next_version(inside, region_id) == 71


@pytest.mark.parametrize(
    ("in_state", "in_tables", "first"), [(41, 7, 42), (7, 41, 42), (41, 41, 42), (2**53, 0, 2**53 + 1)]
)
async def test_the_first_number_is_above_what_an_earlier_worker_counted(
    installation: Installation, inside: InsideCaller, in_state: int, in_tables: int, first: int
) -> None:
    """That worker may have given out numbers whose rows were never written, or are gone again."""
    region_id = a_region()
    await inside.set_state(SERVICE, region_id, {"version": in_state})
    assert await get_version(inside, region_id) == in_state
    if in_tables:
        await stamp(installation, tables.deployment_topology, region_id, in_tables)
    assert await next_version(inside, region_id) == first
    assert await next_version(inside, region_id) == first + 1
    assert await get_version(inside, region_id) == first + 1


@pytest.mark.parametrize(("in_state", "first"), [(500, 621), (700, 701)])
async def test_a_deploy_begins_above_what_an_earlier_worker_counted(
    installation: Installation, inside: InsideCaller, in_state: int, first: int
) -> None:
    """The first time that a deploy uses a region it has no counter yet, and must ask for the earlier worker's."""
    world = await installation.world(regions=(f"old-{uuid.uuid4().hex[:8]}",))
    (region,) = world.regions.values()
    await inside.set_state(SERVICE, region.id, {"version": in_state})
    await stamp(installation, tables.sentinels, region.id, 620)
    await stamp(installation, tables.cilium_network_policies, region.id, 619)
    deployment_id = await installation.deployment(world)
    call = asyncio.ensure_future(installation.deploy(deployment_id))  # no agent is there: it fails

    async def provisioned() -> bool:
        return bool(await installation.rows(tables.deployment_topology, deployment_id=deployment_id))

    await until(provisioned)
    written = await stand_in(installation, tables.deployment_topology, region.id, 0)
    written |= await stand_in(installation, tables.sentinels, region.id, 620)
    written |= await stand_in(installation, tables.cilium_network_policies, region.id, 620)
    assert written == set(range(first, first + 4))
    assert (await asyncio.gather(call, return_exceptions=True))[0] is not None


async def test_numbers_are_taken_once_however_many_ask(installation: Installation, inside: InsideCaller) -> None:
    """By the service and by deploys at once: both count on the same row."""
    world = await installation.world()
    region_id = installation.agents["us-east-1"].region.id
    before = (await counters(installation, [region_id]))[region_id]
    deploys = [asyncio.ensure_future(installation.deployed(world)) for _ in range(4)]
    taken = await asyncio.gather(*(next_version(inside, region_id) for _ in range(20)))
    await asyncio.gather(*deploys)

    assert len(set(taken)) == 20
    assert min(taken) > before
    written = set().union(*[await stand_in(installation, table, region_id, before) for table in STAMPED])
    assert written.isdisjoint(taken)
    assert await get_version(inside, region_id) >= max(written | set(taken))


async def test_a_look_does_not_wait_for_a_number(installation: Installation, inside: InsideCaller) -> None:
    """GetVersion is shared: it answers while NextVersion of the same region is held up."""
    region_id = a_region()
    await next_version(inside, region_id)
    async with installation.held("take version.before") as held:
        taking = asyncio.ensure_future(next_version(inside, region_id))

        async def is_held() -> bool:
            return held.exists()

        await until(is_held)
        assert await asyncio.wait_for(get_version(inside, region_id), 20) == 1
        assert not taking.done()
    assert await taking == 2


async def test_a_number_that_a_crash_lost_is_not_given_to_another(
    installation: Installation, inside: InsideCaller
) -> None:
    region_id = a_region()
    await next_version(inside, region_id)
    installation.kill_at("take version.after")
    worker = installation.stack.worker
    taking = asyncio.ensure_future(next_version(inside, region_id))

    async def died() -> bool:
        return worker.exit_code is not None

    await until(died)
    await installation.stack.start_worker()
    taken = await taking
    assert taken > 1
    assert await next_version(inside, region_id) == taken + 1
