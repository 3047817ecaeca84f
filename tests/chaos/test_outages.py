"""Outside parts away, slow and half-open while deploys are in each of their phases (06 · L3, G4, B1).

A deploy waits before each step of an undisturbed run; the outage begins, and all go on at once. Two outages in the
short mode; every part in every way for 1 s and 20 s with HYDRA_TEST_FULL=1, and 5 minutes for those of LONG.
"""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import grpc
import pytest
from hydra.v1 import deploy_pb2

from service.build.registry import Registry, RegistryAccess
from service.database import tables
from service.dev.clickhouse import ClickHouseServer
from service.dev.programs import ProgramMissing
from service.dev.registry import Account, RegistryServer
from service.errors import Transient
from service.rpc.client import DeployClient
from service.rpc.failure import CallFailed
from service.rpc.ingress import Ingress
from tests.chaos.gate import Gate, Mode
from tests.chaos.holdings import Holdings
from tests.chaos.outage_site import OutageSite, Servers, outage_site
from tests.chaos.staging import deployed, staged
from tests.installation import deploy_request
from tests.previews import insert_previews, keep_log_alive
from tests.servers.mariadb import MariaDB
from tests.waiting import appears, until

FULL = bool(os.environ.get("HYDRA_TEST_FULL"))
EVERY_PART = ("database", "clickhouse", "github", "depot", "builder", "registry", "ingress", "admin", "worker")
EVERY_WAY = (Mode.AWAY, Mode.SLOW, Mode.TRICKLE, Mode.HALF_OPEN)


@dataclass(frozen=True)
class Outage:
    """Parts that are in trouble at once, and for how long."""

    mode: Mode
    seconds: int
    parts: tuple[str, ...]

    def __str__(self) -> str:
        return f"{'+'.join(self.parts)} {self.mode} {self.seconds} s"


SHORT = [
    Outage(Mode.HALF_OPEN, 1, ("database",)),
    Outage(Mode.AWAY, 2, EVERY_PART[1:]),
]
LONG = [
    Outage(Mode.AWAY, 300, ("database",)),
    Outage(Mode.HALF_OPEN, 300, ("database",)),
    Outage(Mode.AWAY, 300, ("github", "depot", "builder")),
]
OUTAGES = [Outage(mode, s, (part,)) for s in (1, 20) for part in EVERY_PART for mode in EVERY_WAY] + LONG

# What the worker keeps open to a part when nothing is to be done: the sizes of its pools.
POOLED = {"database": 10, "clickhouse": 20, "github": 5, "depot": 20, "builder": 0, "registry": 0, "admin": 0}
THREADS = 8  # of pools that grow with what happens at once, up to a size

pytestmark = [
    pytest.mark.xdist_group("outages"),
    pytest.mark.usefixtures("in_order"),
    pytest.mark.parametrize("server", ["mariadb"], indirect=True, scope="session"),
]


@pytest.fixture(scope="module")
async def registry(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RegistryServer]:
    try:
        server = RegistryServer(tmp_path_factory.mktemp("registry"), Account("x-token", "p:ss wörd"))
    except ProgramMissing as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))
    async with server:
        yield server


@pytest.fixture(scope="module")
async def gated(
    server: MariaDB,
    clickhouse: ClickHouseServer,
    registry: RegistryServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[OutageSite]:
    servers = Servers(server, clickhouse, registry)
    async with outage_site(tmp_path_factory.mktemp("outages"), servers) as running:
        yield running


@dataclass(frozen=True)
class Undisturbed:
    """What a deploy leaves where nothing is wrong, its steps in order, and what the worker holds after several."""

    steps: list[str]
    outcome: dict[str, Any]
    held: Holdings
    unconnected: int  # open files that are no connections to parts


@pytest.fixture(scope="module")
async def undisturbed(gated: OutageSite) -> Undisturbed:
    order = await gated.order()
    (done,) = await deployed(gated, [order])
    found = await gated.installation.admin_query(
        f"select name from sys_journal where id = '{done.invocation_id}' and entry_type = 'Command: Run' order by index"
    )
    steps = list(dict.fromkeys(row["name"] for row in found))
    chosen = steps if FULL else steps[::3]
    async with staged(gated, chosen) as waiting:
        pass
    await waiting.ended()
    await until(gated.nothing_runs)
    held = gated.held()
    return Undisturbed(chosen, await gated.outcome(order), held, held.files - sum(gated.connections().values()))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("outage", OUTAGES if FULL else SHORT, ids=str)
async def test_deploys_outlive_an_outage_in_each_phase(
    gated: OutageSite, undisturbed: Undisturbed, capsys: pytest.CaptureFixture[str], outage: Outage
) -> None:
    clock = asyncio.get_running_loop().time
    gates = [gated.gates[part] for part in outage.parts]
    async with staged(gated, undisturbed.steps) as waiting:
        for gate in gates:
            await gate.begin(outage.mode)
    await asyncio.sleep(outage.seconds)
    for gate in gates:
        await gate.end()
    over_s = clock()

    done = await waiting.ended()

    late_s = clock() - over_s
    for order in waiting.orders.values():
        assert await gated.outcome(order) == undisturbed.outcome
    await deployed(gated, [await gated.order()])  # finds what is left of the old connections in the pools
    with suppress(TimeoutError):
        await until(lambda: nothing_is_left(gated, undisturbed))
    assert await left_over(gated, undisturbed) == []
    with capsys.disabled():
        print(  # noqa: T201 - what this test is asked for
            f"\n{outage}: {len(done)} deploys, the last one {late_s:.1f} s after it; {clock() - over_s:.1f} s after it "
            f"the worker holds {gated.held()}; connections: {gated.connections()}"
        )


async def left_over(gated: OutageSite, undisturbed: Undisturbed) -> list[str]:
    """Say what still runs, and what the worker holds that it did not hold before."""
    connections, held = gated.connections(), gated.held()
    left = [f"{part}: {connections[part]} connections" for part, most in POOLED.items() if connections[part] > most]
    left += [f"{part}: stranded" for part, gate in gated.gates.items() if gate.stranded]
    if held.threads > undisturbed.held.threads + THREADS:
        left.append(f"{held.threads} threads")
    if (files := held.files - sum(connections.values())) > undisturbed.unconnected:
        left.append(f"{files} files beside connections, in place of {undisturbed.unconnected}")
    return left + [str(invocation) for invocation in await gated.running()]


async def nothing_is_left(gated: OutageSite, undisturbed: Undisturbed) -> bool:
    return not await left_over(gated, undisturbed)


# ------------------------------------------------------------------------------------------- what else has to be waited


async def test_a_sweep_without_answers_stops_nothing(gated: OutageSite, clickhouse: ClickHouseServer) -> None:
    """Nobody can tell then who was called: it says so, in time, and the next one does the work."""
    world = await gated.installation.world(regions=(f"no-agent-{secrets.token_hex(4)}",))
    previews = await insert_previews(gated.installation.database, world, environments=2, each=2)
    await keep_log_alive(clickhouse.url)

    async def resting() -> int:
        rows = await gated.installation.rows(tables.deployments, workspace_id=world.workspace_id)
        return sum(row["desired_state"] == "standby" for row in rows)

    async with DeployClient(gated.installation.stack.grpc_address, "outages") as client:
        for mode in EVERY_WAY if FULL else (Mode.AWAY,):
            if mode is Mode.SLOW:
                continue
            async with gated.gates["clickhouse"].outage(mode):
                with pytest.raises(CallFailed) as failed:
                    await client.scale_down()
            assert failed.value.reason == "CLICKHOUSE_UNAVAILABLE"
            assert await resting() == 0
        async with gated.gates["clickhouse"].outage(Mode.SLOW):
            await client.scale_down()
    assert await resting() == len(previews.deployment_ids)


@pytest.mark.parametrize("mode", EVERY_WAY if FULL else (Mode.AWAY,))
async def test_a_rollback_begun_without_the_database_is_done_when_it_is_back(gated: OutageSite, mode: Mode) -> None:
    world = await gated.installation.world()
    older = await gated.installation.deployed(world)
    newer = await gated.installation.deployed(world)
    request = deploy_pb2.RollbackRequest(source_deployment_id=newer, target_deployment_id=older)
    accepted = asyncio.Event()
    async with DeployClient(gated.installation.stack.grpc_address, "outages") as client:
        async with gated.gates["database"].outage(mode):
            rollback = asyncio.ensure_future(client.rollback(request, lambda _: accepted.set()))
            await accepted.wait()
            await asyncio.sleep(2)
            assert await gated.installation.live(world) == newer
        await rollback
    assert await gated.installation.live(world) == older
    moved = [name for name, owner in (await gated.installation.routes(world)).items() if owner == older]
    assert len(await gated.installation.rows(tables.hydra_traffic_switches, deployment_id=older)) == 2
    assert moved


async def test_a_deploy_whose_time_is_up_fails_in_order(gated: OutageSite) -> None:
    """The database is away for longer than a step may take: once it is back the deploy is failed and taken down."""
    stack = gated.installation.stack
    world = await gated.installation.world()
    live = await gated.installation.deployed(world)
    routes = await gated.installation.routes(world)
    deployment_id = await gated.installation.deployment(world)
    await stack.worker.kill()
    await stack.start_worker({"HYDRA_DEPLOY__STEP_TIMEOUT": "1s"})
    async with DeployClient(stack.grpc_address, "outages") as client:
        async with gated.installation.held("reserve names.before") as reached:
            deploying = asyncio.ensure_future(client.deploy(deploy_request(deployment_id)))
            await appears(reached)
            await gated.gates["database"].begin(Mode.AWAY)
        await asyncio.sleep(4)
        await gated.gates["database"].end()
        with pytest.raises(CallFailed) as failed:
            await deploying
    await stack.worker.kill()
    await stack.start_worker()

    assert failed.value.code is grpc.StatusCode.INTERNAL
    assert await gated.installation.status(deployment_id) == "failed"
    steps = await gated.installation.steps(deployment_id)
    assert [name for name, row in steps.items() if row["error"]] == ["deploying"]
    assert all(row["ended_at"] for row in steps.values())
    placed = await gated.installation.rows(tables.deployment_topology, deployment_id=deployment_id)
    assert {row["desired_status"] for row in placed} == {"stopped"}
    assert await gated.installation.routes(world) == routes
    assert await gated.installation.live(world) == live
    await until(gated.nothing_runs)


async def test_a_registry_that_trickles_keeps_no_build_waiting(gated: OutageSite, registry: RegistryServer) -> None:
    """Each piece comes in time and the whole does not; then the next look finds out."""
    gate = gated.gates["registry"]
    account = registry.account
    access = RegistryAccess(f"127.0.0.1:{gate.port}", account.username, account.password, insecure=True)
    asked = Registry(access, answer_within=timedelta(seconds=1))
    try:
        for mode in (Mode.TRICKLE, Mode.HALF_OPEN, Mode.AWAY):
            async with gate.outage(mode):
                with pytest.raises(Transient):
                    await asked.find(f"{access.host}/acme/shop:none")
            assert await asked.find(f"{access.host}/acme/shop:none") is None
    finally:
        await asked.close()


async def test_who_waits_is_told_although_the_line_has_died(gated: OutageSite) -> None:
    """Restate is let go of and asked again: an answer that nobody can bring any more is fetched."""
    gate = gated.gates["ingress"]
    deployment_id = await gated.installation.deployment(await gated.installation.world())
    ingress = Ingress(f"http://127.0.0.1:{gate.port}", silence=timedelta(seconds=3))
    try:
        async with gated.installation.held("save image.before") as reached:
            await gated.installation.deploy(deployment_id, x_hydra_mode="submit")
            await appears(reached)
            waiting = asyncio.ensure_future(ingress.wait(await gated.installation.operation(deployment_id)))
            lines = gate.connections

            async def waits() -> bool:
                return gate.connections > lines or waiting.done()

            await until(waits)
            async with gate.outage(Mode.HALF_OPEN):  # the line stays dead when it is over
                await asyncio.sleep(0.5)
        assert await waiting == b"{}"
    finally:
        await ingress.close()


@pytest.mark.skipif(not FULL, reason="it takes a client more than a minute to notice")
@pytest.mark.timeout(300)
async def test_a_client_misses_a_server_that_has_gone_without_a_word(gated: OutageSite) -> None:
    deployment_id = await gated.installation.deployment(await gated.installation.world())
    async with (
        Gate(gated.installation.stack.ports.grpc) as gate,
        DeployClient(f"127.0.0.1:{gate.port}", "outages") as client,
    ):
        accepted = asyncio.Event()
        async with gated.installation.held("save image.before"):
            deploying = asyncio.ensure_future(
                client.deploy(deploy_request(deployment_id), accepted=lambda _: accepted.set())
            )
            await accepted.wait()
            async with gate.outage(Mode.HALF_OPEN):
                await asyncio.sleep(1)
        await deploying
    assert await gated.installation.status(deployment_id) == "ready"
