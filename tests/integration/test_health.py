"""When a deployment counts as healthy, and what is said when it does not (02 · 1.5, 06 · H1, H2, H4)."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from sqlalchemy import Connection, Engine, event
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database import tables
from service.database.dsn import parse as parse_dsn
from service.database.engine import Database
from service.database.migrations import migrate
from service.dev.stack import LocalStack
from service.dev.workload import AgentBehaviour, Fate
from service.dev.world import World
from service.workflow.health_gate import Doubts, GateTiming, HealthGate
from tests.installation import Installation, stack_options
from tests.servers.mariadb import MariaDB
from tests.waiting import until

TWO_REGIONS = ("us-east-1", "eu-central-1")
FLAP_STEADY_MS = 3000
FULL = bool(os.environ.get("HYDRA_TEST_FULL"))
LONG = 240  # falls, of 0.6 s: more than the two minutes that one wait of the gate lasts
QUICKLY = timedelta(milliseconds=20)


@pytest.fixture(scope="module")
async def patient(server: MariaDB | None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    """Run an installation that waits for minutes, and long for a region to settle."""
    folder = tmp_path_factory.mktemp("patient")
    options = stack_options(folder, await server.create_database() if server else "")
    without_haste = replace(
        options,
        deploy={
            "health_timeout": '"5m"',
            "health_poll": '"20ms"',
            "health_flap_steady": f'"{FLAP_STEADY_MS}ms"',
        },
    )
    async with Installation(LocalStack(folder, without_haste)) as running:
        yield running


async def statuses(installation: Installation, deployment_id: str, region: str = "") -> list[str]:
    """Read what is reported of a deployment's instances, in one region or in all."""
    where = {"region_id": installation.agents[region].region.id} if region else {}
    rows = await installation.rows(tables.instances, deployment_id=deployment_id, **where)
    return [row["status"] for row in rows]


async def until_reported(installation: Installation, deployment_id: str, region: str, status: str) -> None:
    async def reported() -> bool:
        return await statuses(installation, deployment_id, region) == [status]

    await until(reported)


async def refused(installation: Installation, deployment_id: str) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await installation.deploy(deployment_id)
    return raised.value


# -------------------------------------------------------------------------------------------------------- H1: flapping


@pytest.mark.timeout(300 if FULL else 120)
async def test_a_region_that_flaps_counts_once_it_is_steady(patient: Installation) -> None:
    """Both regions are needed; one flaps while the other is not there yet, and goes on when it is."""
    world = await patient.world(regions=TWO_REGIONS)
    deployment_id = await patient.deployment(world)
    slow, flapping = (patient.agents[region] for region in TWO_REGIONS)
    slow.behave(AgentBehaviour(fate=Fate.PEND), deployment_id)
    flapping.behave(AgentBehaviour(QUICKLY, Fate.FLAP, flap_period=timedelta(milliseconds=300)), deployment_id)
    call = asyncio.ensure_future(patient.deploy(deployment_id, timeout=280))

    async def seen_falling(times: int) -> None:
        for _ in range(times):
            await until_reported(patient, deployment_id, flapping.region.name, "running")
            await until_reported(patient, deployment_id, flapping.region.name, "failed")

    await seen_falling(2)
    slow.behave(AgentBehaviour(QUICKLY), deployment_id)
    await until_reported(patient, deployment_id, slow.region.name, "running")
    await seen_falling(LONG if FULL else 4)
    assert await patient.status(deployment_id) == "deploying"
    assert not call.done()

    await until_reported(patient, deployment_id, flapping.region.name, "failed")
    last_down_ms = time.time_ns() // 1_000_000
    flapping.behave(AgentBehaviour(QUICKLY), deployment_id)
    await call
    assert await patient.status(deployment_id) == "ready"
    steps = await patient.steps(deployment_id)
    assert steps["deploying"]["ended_at"] - last_down_ms >= FLAP_STEADY_MS - 10  # less the rounding of two clocks


async def test_a_fall_is_remembered_from_one_wait_to_the_next(installation: Installation) -> None:
    """A long wait is made of short ones: what one saw counts in the next."""
    world = await installation.world(regions=TWO_REGIONS)
    deployment_id = await installation.deployed(world)
    missing, flapping = (installation.agents[region] for region in TWO_REGIONS)
    missing.behave(AgentBehaviour(dead=True), deployment_id)
    flapping.behave(AgentBehaviour(QUICKLY, Fate.FLAP, flap_period=timedelta(milliseconds=200)), deployment_id)
    region_ids = [missing.region.id, flapping.region.id]
    timing = GateTiming(poll=timedelta(milliseconds=10), flap_steady=timedelta(hours=1))
    async with gate_of(installation.database, timing) as gate:
        verdict = await gate.wait(deployment_id, region_ids, 2, QUICKLY)
        while flapping.region.id not in verdict.flapped_regions:
            verdict = await gate.wait(deployment_id, region_ids, 2, QUICKLY * 10, Doubts(verdict.flapped_regions))
        for agent in (missing, flapping):
            agent.behave(AgentBehaviour(QUICKLY), deployment_id)
            await until_reported(installation, deployment_id, agent.region.name, "running")

        verdict = await gate.wait(deployment_id, region_ids, 2, timedelta(seconds=1), Doubts(verdict.flapped_regions))
        assert not verdict.ready
        assert verdict.seen[flapping.region.id] == "1 of 1 running, not steady yet"
        assert (await gate.wait(deployment_id, region_ids, 2, timedelta(seconds=30))).ready


@asynccontextmanager
async def gate_of(database: Database, timing: GateTiming) -> AsyncIterator[HealthGate]:
    gate = HealthGate(database, timing)
    try:
        yield gate
    finally:
        await gate.close()


# ------------------------------------------------------------------------------------ H2: no verdict but the deadline


async def test_instances_that_fail_while_they_start_are_waited_for(patient: Installation) -> None:
    """A pod that runs but is not ready is reported as `failed` (03 · 7)."""
    world = await patient.world(regions=TWO_REGIONS)
    deployment_id = await patient.deployment(world)
    unready = AgentBehaviour(start_delay=timedelta(hours=1), starts_unready=True)
    for region in TWO_REGIONS:
        patient.agents[region].behave(unready, deployment_id)
    call = asyncio.ensure_future(patient.deploy(deployment_id, timeout=280))
    for region in TWO_REGIONS:
        await until_reported(patient, deployment_id, region, "failed")
    await asyncio.sleep(0.5)  # many looks of the gate
    assert await patient.status(deployment_id) == "deploying"
    assert not call.done()

    for region in TWO_REGIONS:
        patient.agents[region].behave(AgentBehaviour(QUICKLY), deployment_id)
    await call
    assert await patient.status(deployment_id) == "ready"


async def test_the_deadline_decides_and_the_error_names_what_was_seen_last(installation: Installation) -> None:
    world = await installation.world(replicas=2)
    deployment_id = await installation.deployment(world)
    last_seen = {
        "us-east-1": (AgentBehaviour(start_delay=timedelta(hours=1), starts_unready=True), "0 of 2 running, 2 failed"),
        "eu-central-1": (AgentBehaviour(QUICKLY, Fate.PEND), "0 of 2 running, 2 pending"),
        "ap-southeast-1": (AgentBehaviour(dead=True), "no instances"),
    }
    for region, (behaviour, _) in last_seen.items():
        installation.agents[region].behave(behaviour, deployment_id)

    error = await refused(installation, deployment_id)
    assert error.code() is grpc.StatusCode.ABORTED
    message = str(error.details())
    facts = facts_of(error)
    assert facts["reason"] == "REGIONS_UNHEALTHY"
    for region, (_, seen) in last_seen.items():
        assert f"{region}: {seen}" in message
        assert facts[f"region.{region}"] == seen
    assert await installation.status(deployment_id) == "failed"
    assert (await installation.steps(deployment_id))["deploying"]["error"] == message


@pytest.mark.parametrize("late", [False, True], ids=["in time", "late"])
async def test_two_of_three_dead_is_too_few(installation: Installation, *, late: bool) -> None:
    """A worker that comes back after the deadline looks all the same, and says what it saw."""
    world = await installation.world()
    deployment_id = await installation.deployment(world)
    for region in TWO_REGIONS:
        installation.agents[region].behave(AgentBehaviour(dead=True), deployment_id)

    if late:
        async with installation.held("await healthy regions.before"):
            refusal = asyncio.ensure_future(refused(installation, deployment_id))
            await until(lambda: is_past_deadline(installation, deployment_id))
        error = await refusal
    else:
        error = await refused(installation, deployment_id)
    assert error.code() is grpc.StatusCode.ABORTED
    message = str(error.details())
    assert "1 of 3" in message
    assert all(f"{region}: no instances" in message for region in TWO_REGIONS)
    assert "ap-southeast-1:" not in message
    assert await installation.live(world) is None
    topologies = await installation.rows(tables.deployment_topology, deployment_id=deployment_id)
    assert {row["desired_status"] for row in topologies} == {"stopped"}
    steps = await installation.steps(deployment_id)
    assert steps["deploying"]["ended_at"] - steps["deploying"]["started_at"] >= 3000  # not before the deadline


async def test_what_became_healthy_while_no_worker_looked_is_healthy(installation: Installation) -> None:
    world = await installation.world()
    deployment_id = await installation.deployment(world)
    async with installation.held("await healthy regions.before"):
        call = asyncio.ensure_future(installation.deploy(deployment_id))
        await until(lambda: is_past_deadline(installation, deployment_id))
    await call
    assert await installation.status(deployment_id) == "ready"


async def is_past_deadline(installation: Installation, deployment_id: str) -> bool:
    rows = await installation.rows(tables.deployment_topology, deployment_id=deployment_id)
    return bool(rows) and time.time_ns() // 1_000_000 > rows[0]["created_at"] + 3000 + 100


async def placed(conn: AsyncConnection, world: World, deployment_id: str, pods: tuple[int, int]) -> None:
    """Write what an agent would see and report: so many pods wanted, so many running."""
    (region,) = world.regions.values()
    replicas, running = pods
    of = {"workspace_id": world.workspace_id, "deployment_id": deployment_id, "region_id": region.id}
    topology = {"desired_replicas": replicas, "version": 1, "desired_status": "running", "created_at": 1}
    await conn.execute(tables.deployment_topology.insert().values(**of, **topology))
    for number in range(running):
        name = f"{deployment_id}-{number}"
        app = {"project_id": world.project_id, "app_id": world.app.id, "cpu_millicores": 100, "memory_mib": 100}
        pod = {"id": name, "k8s_name": name, "address": name, "status": "running"}
        await conn.execute(tables.instances.insert().values(**of, **app, **pod))


@pytest.mark.parametrize(("replicas", "running"), [(3, 2), (2, 1)])
async def test_a_region_needs_every_replica(installation: Installation, replicas: int, running: int) -> None:
    """One pod short, and nothing wrong with the others."""
    region = f"unwatched-{replicas}"
    world = await installation.world(regions=(region,))  # where no agent would start the pod that is missing
    deployment_id = await installation.deployment(world)
    region_id = world.regions[region].id
    await installation.database.transact(lambda conn: placed(conn, world, deployment_id, (replicas, running)))
    async with gate_of(installation.database, GateTiming(poll=timedelta(milliseconds=10))) as gate:
        verdict = await gate.wait(deployment_id, [region_id], 1, timedelta(milliseconds=500))
    assert not verdict.ready
    assert verdict.seen == {region_id: f"{running} of {replicas} running"}


def facts_of(error: grpc.aio.AioRpcError) -> dict[str, str]:
    status = rpc_status.from_call(error)  # type: ignore[arg-type] # an AioRpcError has what a call has
    assert status is not None
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return {"reason": info.reason, **info.metadata}


# ------------------------------------------------------------------------------------------------ H4: one look for all

WAITERS = 500


async def test_five_hundred_deployments_wait_on_one_query_per_tick(server: MariaDB | None, tmp_path: Path) -> None:
    """The queries are counted where they leave for the database."""
    dsn = await server.create_database() if server else f"sqlite:///{tmp_path / 'crowd.db'}"
    async with AsyncExitStack() as stack:
        database = await Database.open(parse_dsn(dsn))
        stack.push_async_callback(database.close)
        await migrate(database)
        waiting_for = [f"d_crowd{number:03}" for number in range(WAITERS)]
        await database.transact(lambda conn: conn.execute(tables.deployment_topology.insert(), topologies(waiting_for)))
        gate = await stack.enter_async_context(gate_of(database, GateTiming(poll=timedelta(milliseconds=20))))
        looks = stack.enter_context(counted_looks("d_crowd"))
        waits = [asyncio.ensure_future(gate.wait(id_, ["r"], 1, timedelta(minutes=1))) for id_ in waiting_for]
        await until(lambda: reached(gate, 10))
        assert looks.count in (gate.ticks - 1, gate.ticks)  # one may be about to leave
        assert not any(wait.done() for wait in waits)

        await database.transact(lambda conn: conn.execute(tables.instances.insert(), instances(waiting_for[:-1])))
        await asyncio.wait(waits[:-1])
        assert all(wait.result().ready for wait in waits[:-1])
        assert not waits[-1].done()
        await database.transact(lambda conn: conn.execute(tables.instances.insert(), instances(waiting_for[-1:])))
        assert (await waits[-1]).ready

        ticks = gate.ticks
        await asyncio.sleep(0.2)
        assert (gate.ticks, looks.count) == (ticks, ticks)  # nobody waits: nobody looks


async def reached(gate: HealthGate, ticks: int) -> bool:
    return gate.ticks >= ticks


@dataclass
class Looks:
    count: int = 0


@contextmanager
def counted_looks(some_ids: str) -> Iterator[Looks]:
    """Count the statements on `instances`, other than inserts, that ask for ids that contain a text."""
    looks = Looks()

    def count(_conn: Connection, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "instances" in statement and not statement.startswith("INSERT") and some_ids in str(parameters):
            looks.count += 1

    event.listen(Engine, "before_cursor_execute", count)
    try:
        yield looks
    finally:
        event.remove(Engine, "before_cursor_execute", count)


def topologies(deployment_ids: list[str]) -> list[dict[str, Any]]:
    return [
        {
            "workspace_id": "ws",
            "deployment_id": deployment_id,
            "region_id": "r",
            "desired_replicas": 1,
            "version": version,
            "desired_status": "running",
            "created_at": 1,
        }
        for version, deployment_id in enumerate(deployment_ids, 1)
    ]


def instances(deployment_ids: list[str]) -> list[dict[str, Any]]:
    return [
        {
            "id": f"i_{deployment_id}",
            "deployment_id": deployment_id,
            "workspace_id": "ws",
            "project_id": "p",
            "app_id": "a",
            "region_id": "r",
            "k8s_name": deployment_id,
            "address": f"{deployment_id}:8080",
            "cpu_millicores": 1,
            "memory_mib": 1,
            "status": "running",
        }
        for deployment_id in deployment_ids
    ]
