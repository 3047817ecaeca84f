"""Many deploys at once while the worker is killed every few seconds: none is lost, none is done twice (06 · L5, V1).

Some deploys in the short mode; 1,000 over 200 apps, and ten minutes of everything, with HYDRA_TEST_FULL=1.
"""

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from statistics import quantiles
from typing import Any

import grpc
import pytest
from hydra.v1 import deploy_pb2

from service.database import tables
from service.dev.clickhouse import ClickHouseServer
from service.dev.restate import RestateOptions
from service.dev.stack import LocalStack, StackOptions
from service.dev.world import World
from service.domain.deployment import PREVIEW, PRODUCTION
from service.rpc.client import DeployClient
from service.rpc.failure import CallFailed
from tests.chaos import callers
from tests.chaos.callers import Done
from tests.chaos.holdings import Holdings
from tests.chaos.mortal import Lives, mortal
from tests.installation import Installation, deploy_request
from tests.previews import keep_log_alive
from tests.servers.mariadb import MariaDB
from tests.version_readers import given_twice, reading
from tests.waiting import until

FULL = bool(os.environ.get("HYDRA_TEST_FULL"))
WORKSPACES, APPS_EACH, DEPLOYS, IN_FLIGHT = (20, 10, 1000, 64) if FULL else (3, 4, 40, 12)
KILL_EVERY = timedelta(seconds=5 if FULL else 3)
KILLS = None if FULL else 2
SOAK = timedelta(minutes=10) if FULL else timedelta(seconds=5)
SOAK_KILL_EVERY = timedelta(minutes=2) if FULL else timedelta(seconds=3)
STEPS = {"starting", "building", "deploying", "network", "finalizing"}

pytestmark = [
    pytest.mark.xdist_group("load"),
    pytest.mark.usefixtures("in_order"),
    pytest.mark.parametrize("server", ["mariadb"], indirect=True, scope="session"),
]


@pytest.fixture(scope="module")
async def loaded(
    server: MariaDB, clickhouse: ClickHouseServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Installation]:
    """Run an installation where a deploy may wait for long, so that a slow machine fails none."""
    options = StackOptions(
        dsn=await server.create_database(),
        deploy={"health_timeout": '"8m"', "standby_delay": '"1s"'},
        restate=RestateOptions(fsync=False),
        environ={"HYDRA_CLICKHOUSE__URL": clickhouse.url},
    )
    async with Installation(LocalStack(tmp_path_factory.mktemp("loaded"), options)) as running:
        yield running


async def worlds(installation: Installation, number: int, apps: int) -> list[World]:
    names = tuple(f"app-{each}" for each in range(apps))
    return [
        await installation.world(apps=names, quota_cpu_millicores=10**6, quota_memory_mib=10**6) for _ in range(number)
    ]


async def spread(installation: Installation, over: Sequence[World], number: int) -> list[str]:
    """Create so many deployments, in turn for each app, every fourth round as previews."""
    apps = [(world, app) for world in over for app in world.apps]
    created = []
    for each in range(number):
        world, app = apps[each % len(apps)]
        environment = PREVIEW if each // len(apps) % 4 == 3 else PRODUCTION
        created.append(await installation.deployment(world, environment, app=app, git_branch=f"branch-{each % 7}"))
    return created


async def all_done(installation: Installation, deployment_ids: Sequence[str], at_once: int) -> list[Done]:
    """Deploy all of them, so many at once."""
    turns = asyncio.Semaphore(at_once)

    async def one(client: DeployClient, deployment_id: str) -> Done:
        async with turns:
            return await callers.deploy(client, deploy_request(deployment_id))

    async with DeployClient(installation.stack.grpc_address, "load") as client:
        return await asyncio.gather(*(one(client, deployment_id) for deployment_id in deployment_ids))


async def nothing_runs(installation: Installation) -> bool:
    """Tell whether all is over but the fetching of documents, which is tried again after a minute, and no sooner."""
    return not await installation.admin_query(
        "select id from sys_invocation where status <> 'completed' and target_service_name <> 'hydra.v1.OpenapiService'"
    )


async def per_deployment(installation: Installation, table: Any, ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Gather a table's rows by their deployment; those of other deployments are left out."""
    found: dict[str, list[dict[str, Any]]] = {deployment_id: [] for deployment_id in ids}
    for row in await installation.rows(table):
        if row["deployment_id"] in found:
            found[row["deployment_id"]].append(row)
    return found


async def assert_done_once(installation: Installation, done: Sequence[Done]) -> None:
    """Look for each deployment at all that a deploy writes: there, complete, and not twice."""
    ids = [each.deployment_id for each in done]
    regions = sorted(agent.region.id for agent in installation.agents.values())
    status = {row["id"]: row["status"] for row in await installation.rows(tables.deployments)}
    assert Counter(status[deployment_id] for deployment_id in ids) == {"ready": len(ids)}
    steps = await per_deployment(installation, tables.deployment_steps, ids)
    placed = await per_deployment(installation, tables.deployment_topology, ids)
    operations = await per_deployment(installation, tables.hydra_operations, ids)
    attempts = await per_deployment(installation, tables.hydra_deployment_attempts, ids)
    switches = await per_deployment(installation, tables.hydra_traffic_switches, ids)
    for each in done:
        rows = steps[each.deployment_id]
        assert {row["step"] for row in rows} == STEPS
        assert len(rows) == len(STEPS)
        assert all(row["ended_at"] and not row["error"] for row in rows)
        assert sorted(row["region_id"] for row in placed[each.deployment_id]) == regions
        deploys = [(row["id"], row["state"]) for row in operations[each.deployment_id] if row["kind"] == "deploy"]
        assert deploys == [(each.invocation_id, "succeeded")]
        assert [(row["attempt"], row["state"]) for row in attempts[each.deployment_id]] == [(1, "succeeded")]
        assert [row["operation_id"] for row in switches[each.deployment_id]] == [each.invocation_id]
    asked = await installation.admin_query(
        "select target_service_key from sys_invocation where target_service_name = 'hydra.v1.DeployService' "
        "and target_handler_name = 'Deploy'"
    )
    assert Counter(row["target_service_key"] for row in asked if row["target_service_key"] in set(ids)) == Counter(ids)


def figures(done: Sequence[Done], took_s: float, lives: Lives, after: Holdings) -> str:
    """Put into words how it went."""
    cuts = quantiles([each.took_s for each in done], n=100)
    rate = f"{took_s:.1f} s, {len(done) / took_s:.1f}/s"
    of_each_life = ", ".join(f"{held.rss_mib:.0f}" for held in lives.peaks)
    return (
        f"\n{len(done)} deploys, {IN_FLIGHT} in flight, {lives.kills} kills: {rate}; "
        f"latency p50 {cuts[49]:.2f} s, p99 {cuts[98]:.2f} s; calls not accepted {sum(d.refusals for d in done)}\n"
        f"peak memory of each life of the worker (MiB): {of_each_life}; after: {after}"
    )


@pytest.mark.timeout(3600 if FULL else 300)
async def test_every_deploy_ends_though_the_worker_dies_again_and_again(
    loaded: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    over = await worlds(loaded, WORKSPACES, APPS_EACH)
    ids = await spread(loaded, over, DEPLOYS)
    clock = asyncio.get_running_loop().time
    region_ids = sorted(agent.region.id for agent in loaded.agents.values())

    async with reading(loaded, region_ids) as readers:
        async with mortal(loaded.stack, KILL_EVERY, KILLS) as lives:
            began_s = clock()
            done = await all_done(loaded, ids, IN_FLIGHT)
            took_s = clock() - began_s
        await until(lambda: nothing_runs(loaded))

    after = Holdings.of(loaded.stack.worker.pid)
    with capsys.disabled():
        print(figures(done, took_s, lives, after))  # noqa: T201 - what this test is asked for
    assert lives.kills >= 2
    await assert_done_once(loaded, done)
    for reader in readers:
        assert reader.looks > 20
        assert not any((await reader.missed(loaded)).values())
    assert await given_twice(loaded) == []


class Soak:
    """Callers who deploy, roll back and promote an app each, over and over, and one who sweeps."""

    def __init__(self, installation: Installation, client: DeployClient) -> None:
        self.ends: Counter[str] = Counter()
        self._installation = installation
        self._client = client
        self._random = random.Random(7)

    async def app(self, world: World, app: str) -> None:
        """Deploy, and now and then go back to the one before, and confirm that."""
        live = ""
        while True:
            deployment_id = await self._installation.deployment(world, app=app)
            await self._one("deploy", callers.deploy(self._client, deploy_request(deployment_id)))
            if live and self._random.random() < 0.5:
                back = deploy_pb2.RollbackRequest(source_deployment_id=deployment_id, target_deployment_id=live)
                await self._one("rollback", self._client.rollback(back))
                confirm = deploy_pb2.PromoteRequest(target_deployment_id=live)
                await self._one("promote", self._client.promote(confirm))
            live = (await self._installation.row(tables.apps, id=world.apps[app].id))["current_deployment_id"]
            await asyncio.sleep(self._random.uniform(0.2, 1.0))

    async def sweep(self) -> None:
        while True:
            await keep_log_alive(self._installation.stack.options.environ["HYDRA_CLICKHOUSE__URL"])
            await self._one("sweep", self._client.scale_down())
            await asyncio.sleep(2)

    async def _one(self, what: str, call: Any) -> None:
        try:
            await call
        except CallFailed as failed:
            if failed.code not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.FAILED_PRECONDITION):
                raise
            self.ends[f"{what}: {failed.reason}"] += 1
        else:
            self.ends[what] += 1


@pytest.mark.timeout(1800 if FULL else 300)
async def test_a_worker_that_runs_on_holds_no_more_than_before(
    loaded: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    """Deploys, rollbacks, promotes and sweeps at a modest rate, and a kill now and then."""
    over = await worlds(loaded, 2, 3)
    async with (
        DeployClient(loaded.stack.grpc_address, "soak") as client,
        mortal(loaded.stack, SOAK_KILL_EVERY) as lives,
    ):
        soak = Soak(loaded, client)
        tasks = [asyncio.create_task(soak.app(world, app)) for world in over for app in world.apps]
        tasks.append(asyncio.create_task(soak.sweep()))
        ended, _ = await asyncio.wait(tasks, timeout=SOAK.total_seconds(), return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in ended:
        task.result()  # nobody stops by himself: this raises what stopped him
    await until(lambda: nothing_runs(loaded))

    with capsys.disabled():
        print(story(soak, lives))  # noqa: T201 - what this test is asked for
    assert {"deploy", "sweep"} <= soak.ends.keys()
    assert not ended
    for life in lives.samples:
        assert_flat(life)
    apps = {world.apps[app].id for world in over for app in world.apps}
    ours = [row for row in await loaded.rows(tables.deployments) if row["app_id"] in apps]
    assert {row["status"] for row in ours} <= {"ready", "pending"}  # pending: created, and the soak was over


def story(soak: Soak, lives: Lives) -> str:
    """Put into words how it went: a line for each life, with what was held at its beginning, middle and end."""
    lines = [f"\n{SOAK.total_seconds():.0f} s, {lives.kills} kills; " + ", ".join(map(str, soak.ends.items()))]
    shown = ([life[int(at * (len(life) - 1))] for at in (0.1, 0.5, 1)] for life in lives.samples if life)
    return "\n".join(lines + ["  " + " | ".join(map(str, held)) for held in shown])


def assert_flat(life: Sequence[Holdings]) -> None:
    """See that the last quarter of a long life holds about what its second quarter held."""
    if len(life) < 60:
        return
    quarter = len(life) // 4
    earlier, later = life[quarter : 2 * quarter], life[3 * quarter :]
    assert max(held.rss_mib for held in later) < 1.15 * max(held.rss_mib for held in earlier) + 10
    assert max(held.threads for held in later) <= max(held.threads for held in earlier) + 4
    assert max(held.files for held in later) <= max(held.files for held in earlier) + 20
