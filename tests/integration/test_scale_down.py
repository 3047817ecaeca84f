"""The sweep of idle previews, with a ClickHouse that counts requests: 06 · S1 and S2.

Hundreds of previews in the short mode; 5,000 with HYDRA_TEST_FULL=1.
"""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc.aio
import pytest
from google.rpc import error_details_pb2, status_pb2
from hydra.v1 import deploy_pb2

from service.analytics.client import connect
from service.analytics.dsn import parse
from service.analytics.tables import create_tables
from service.clock import now_ms
from service.database import previews, tables
from service.database.versions import start_counters
from service.dev.clickhouse import ClickHouseServer
from service.dev.stack import LocalStack
from service.dev.world import World
from tests.command import hydra
from tests.installation import Installation, stack_options
from tests.previews import HOUR_MS, LONG_AGO_MS, Previews, insert_previews, keep_log_alive
from tests.servers.clickhouse_gate import ClickHouseGate
from tests.servers.mariadb import MariaDB
from tests.waiting import until

FULL = bool(os.environ.get("HYDRA_TEST_FULL"))
MANY_ENVIRONMENTS, EACH = (1000, 5) if FULL else (200, 3)
PER_PAGE = 100
LOOKS_BACK_MS = 6 * HOUR_MS + 300_000  # the idle time, and what the latest requests may take to be seen


@pytest.fixture(scope="module")
async def gate(server: MariaDB | None, clickhouse: ClickHouseServer) -> AsyncIterator[ClickHouseGate]:  # noqa: ARG001 - orders
    """Stand between the installation's worker and ClickHouse."""
    async with ClickHouseGate(clickhouse) as gate:
        yield gate


@pytest.fixture(scope="module")
async def counted(
    server: MariaDB | None, gate: ClickHouseGate, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Installation]:
    """Run an installation of this module's own, whose worker asks the ClickHouse behind the gate."""
    folder = tmp_path_factory.mktemp("counted")
    dsn = await server.create_database() if server else ""
    async with Installation(LocalStack(folder, stack_options(folder, dsn, clickhouse_url=gate.url))) as running:
        yield running


@pytest.fixture(scope="module")
async def unwritten(
    server: MariaDB | None, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Installation, ClickHouseServer]]:
    """Run an installation whose ClickHouse is its own: what other tests log would keep the log alive."""
    folder = tmp_path_factory.mktemp("unwritten")
    dsn = await server.create_database() if server else ""
    async with ClickHouseServer(folder / "clickhouse") as clickhouse:
        await create_tables(parse(clickhouse.url))
        stack = LocalStack(folder, stack_options(folder, dsn, clickhouse_url=clickhouse.url))
        async with Installation(stack) as running:
            yield running, clickhouse


# ---------------------------------------------------------------------------------------------------------- to act


@pytest.fixture(autouse=True)
async def written(clickhouse: ClickHouseServer) -> None:
    """Have somebody called just now: no sweep believes a log that nobody writes to."""
    await keep_log_alive(clickhouse.url)


async def sweep(installation: Installation, timeout: float = 60) -> dict[str, Any]:
    """Sweep over gRPC, and return what the operation's row says of it."""
    known = {row["id"] for row in await sweeps(installation)}
    request = deploy_pb2.ScaleDownIdlePreviewDeploymentsRequest()
    await installation.stub.ScaleDownIdlePreviewDeployments(request, timeout=timeout)
    (operation,) = [row for row in await sweeps(installation) if row["id"] not in known]
    assert operation["state"] == "succeeded"
    return operation


async def sweeps(installation: Installation) -> list[dict[str, Any]]:
    return await installation.rows(tables.hydra_operations, kind="scale_down")


async def refused(installation: Installation) -> tuple[grpc.StatusCode, str]:
    """Sweep in vain, and return the code and the reason."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await sweep(installation)
    trailing: dict[Any, Any] = dict(raised.value.trailing_metadata() or {})  # type: ignore[arg-type] # pairs
    info = error_details_pb2.ErrorInfo()
    status_pb2.Status.FromString(trailing["grpc-status-details-bin"]).details[0].Unpack(info)
    return raised.value.code(), info.reason


async def age(installation: Installation, deployment_id: str, created_ms: int, updated_ms: int | None) -> None:
    """Say how long ago a deployment was created and last updated."""
    updated = None if updated_ms is None else now_ms() - updated_ms
    when = {"created_at": now_ms() - created_ms, "updated_at": updated}
    await installation.set(tables.deployments, {"id": deployment_id}, **when)


async def called(clickhouse: ClickHouseServer, rows: Iterable[tuple[dict[str, Any], int]]) -> None:
    """Log a request to each deployment, so long ago (ms)."""
    columns = ["workspace_id", "project_id", "environment_id", "deployment_id", "time"]
    values = [
        (row["workspace_id"], row["project_id"], row["environment_id"], row["id"], now_ms() - ago) for row, ago in rows
    ]
    client = await connect(parse(clickhouse.url))
    await client.insert("default.sentinel_requests_raw_v1", values, column_names=columns)
    await client.close()


async def quiet_world(installation: Installation) -> World:
    """Seed a world in a region without an agent, where nothing is started, and whose versions are counted."""
    world = await installation.world(regions=("nowhere-1",), apps=())
    floors = {region.id: 0 for region in world.regions.values()}
    await installation.database.transact(lambda conn: start_counters(conn, floors))
    return world


# --------------------------------------------------------------------------------------------------------- to look


async def state(installation: Installation, deployment_id: str) -> tuple[str, set[str]]:
    """Read a deployment's desired state and the desired status of its topologies."""
    deployment = await installation.row(tables.deployments, id=deployment_id)
    topologies = await installation.rows(tables.deployment_topology, deployment_id=deployment_id)
    return deployment["desired_state"], {row["desired_status"] for row in topologies}


async def resting(installation: Installation, inserted: Previews) -> set[str]:
    """Read which of the inserted deployments rest, and check that their topologies agree."""
    deployments = {row["id"]: row for row in await installation.rows(tables.deployments)}
    topologies = {row["deployment_id"]: row for row in await installation.rows(tables.deployment_topology)}
    rest = set()
    for deployment_id in inserted.deployment_ids:
        rests = deployments[deployment_id]["desired_state"] == "standby"
        assert topologies[deployment_id]["desired_status"] == ("stopped" if rests else "running"), deployment_id
        rest |= {deployment_id} if rests else set()
    return rest


async def versions(installation: Installation, inserted: Previews) -> list[int]:
    """Read the versions of the inserted topologies, in order."""
    of_them = set(inserted.deployment_ids)
    rows = await installation.rows(tables.deployment_topology)
    return sorted(row["version"] for row in rows if row["deployment_id"] in of_them)


async def counter(installation: Installation, world: World) -> int:
    region_id = world.regions["nowhere-1"].id
    rows = await installation.rows(tables.hydra_region_versions, region_id=region_id)
    return (
        int(rows[0]["version"])
        if rows
        else max(row["version"] for row in await installation.rows(tables.deployment_topology, region_id=region_id))
    )


# ----------------------------------------------------------------------------------------------------------- tests


async def test_without_clickhouse_nothing_is_called_idle(installation: Installation) -> None:
    world = await installation.world()
    idle = await installation.deployed(world, "preview")
    await age(installation, idle, LONG_AGO_MS, LONG_AGO_MS)

    assert await refused(installation) == (grpc.StatusCode.FAILED_PRECONDITION, "CLICKHOUSE_NOT_CONFIGURED")

    assert await state(installation, idle) == ("running", {"running"})
    last = max(await sweeps(installation), key=lambda row: row["started_at"])
    assert (last["state"], last["reason"]) == ("failed", "CLICKHOUSE_NOT_CONFIGURED")


async def test_a_log_that_has_stood_still_stops_nothing(unwritten: tuple[Installation, ClickHouseServer]) -> None:
    """A sentinel that cannot reach ClickHouse leaves the same rows as a preview that nobody calls: none."""
    installation, clickhouse = unwritten
    await sweep(installation)  # where nothing could be stopped there is nothing to refuse
    world = await quiet_world(installation)
    inserted = await insert_previews(installation.database, world, PER_PAGE + 1, 1)
    before = await versions(installation, inserted)

    async def is_refused(why: str) -> None:
        assert await refused(installation) == (grpc.StatusCode.FAILED_PRECONDITION, "REQUEST_LOG_STALE")
        assert (await resting(installation, inserted), await versions(installation, inserted)) == (set(), before)
        last = max(await sweeps(installation), key=lambda row: row["started_at"])
        assert (last["state"], last["reason"]) == ("failed", "REQUEST_LOG_STALE")
        assert why in last["message"]
        surveyed = await hydra(
            "scale-down",
            *("--dry-run", "--config", installation.stack.config_file),
            environ={"HYDRA_CLICKHOUSE__URL": clickhouse.url},
        )
        assert (surveyed.code, surveyed.out) == (1, "")
        assert why in surveyed.err
        assert surveyed.err.endswith("[REQUEST_LOG_STALE]\n")

    await is_refused("the request log is empty")
    await keep_log_alive(clickhouse.url, ago_ms=HOUR_MS)
    await is_refused("the request log has stood still since")

    await keep_log_alive(clickhouse.url, ago_ms=14 * 60_000)
    await sweep(installation)
    assert await resting(installation, inserted) == set(inserted.deployment_ids)


async def test_an_idle_preview_is_stopped_in_every_region(counted: Installation) -> None:
    world = await counted.world()
    idle = await counted.deployed(world, "preview")
    before = {row["region_id"]: row for row in await counted.rows(tables.deployment_topology, deployment_id=idle)}
    await age(counted, idle, LONG_AGO_MS, None)

    operation = await sweep(counted)

    assert await state(counted, idle) == ("standby", {"stopped"})
    for topology in await counted.rows(tables.deployment_topology, deployment_id=idle):
        latest = await counted.row(tables.hydra_region_versions, region_id=topology["region_id"])
        assert before[topology["region_id"]]["version"] < topology["version"] <= latest["version"]
    assert operation["detail"]["stopped"] == 1
    assert operation["detail"]["failed_pages"] == 0

    async def gone() -> bool:
        return not await counted.rows(tables.instances, deployment_id=idle)

    await until(gone)  # the regions' agents have heard of it


async def test_what_is_not_idle_is_left_alone(counted: Installation, clickhouse: ClickHouseServer) -> None:
    """06 · S2, and every other reason to stay."""
    world = await counted.world(quota_cpu_millicores=100_000, quota_memory_mib=100_000)
    idle, active, young, updated, live, standby, archived, failed, long_ago = [
        await counted.deployed(world, "preview") for _ in range(9)
    ]
    production = [await counted.deployed(world), await counted.deployed(world)]
    minute = 60_000
    everything = [idle, active, young, updated, live, standby, archived, failed, long_ago, *production]
    for deployment_id in everything:
        await age(counted, deployment_id, LONG_AGO_MS, LONG_AGO_MS)
    await age(counted, young, LOOKS_BACK_MS - minute, None)
    await age(counted, updated, LONG_AGO_MS, LOOKS_BACK_MS - minute)
    await counted.set(tables.apps, {"id": world.app.id}, current_deployment_id=live)
    await counted.set(tables.deployments, {"id": standby}, desired_state="standby")
    await counted.set(tables.deployments, {"id": archived}, desired_state="archived")
    await counted.set(tables.deployments, {"id": failed}, status="failed")
    row = {name: await counted.row(tables.deployments, id=name) for name in (active, long_ago, idle)}
    elsewhere = {**row[idle], "environment_id": "another"}
    await called(
        clickhouse,
        [(row[active], LOOKS_BACK_MS - minute), (row[long_ago], LOOKS_BACK_MS + minute), (elsewhere, minute)],
    )
    before = {
        name: (await counted.row(tables.deployments, id=name), await topologies(counted, name)) for name in everything
    }

    await sweep(counted)

    assert await state(counted, idle) == ("standby", {"stopped"})
    assert await state(counted, long_ago) == ("standby", {"stopped"})
    for untouched in set(everything) - {idle, long_ago}:
        row_now = await counted.row(tables.deployments, id=untouched)
        if untouched == production[0]:  # it was replaced, and rests by its own schedule
            continue
        assert (row_now, await topologies(counted, untouched)) == before[untouched]
    await counted.set(tables.deployments, {"id": active}, desired_state="archived")  # out of the others' way


async def topologies(installation: Installation, deployment_id: str) -> list[dict[str, Any]]:
    return await installation.rows(tables.deployment_topology, deployment_id=deployment_id)


@pytest.mark.parametrize(
    ("created_ms", "updated_ms", "is_idle"),
    [
        (-1, None, True),
        (0, None, False),
        (-1, -1, True),
        (-1, 0, False),
        (0, -1, False),
        (-HOUR_MS, 1, False),
    ],
)
async def test_the_cutoff_to_the_millisecond(
    counted: Installation, created_ms: int, updated_ms: int | None, *, is_idle: bool
) -> None:
    """Created, and last updated, strictly before the cutoff; looked at again under the locks."""
    world = await quiet_world(counted)
    (deployment_id,) = (await insert_previews(counted.database, world, 1, 1)).deployment_ids
    cutoff = now_ms() - 6 * HOUR_MS
    updated = None if updated_ms is None else cutoff + updated_ms
    await counted.set(tables.deployments, {"id": deployment_id}, created_at=cutoff + created_ms, updated_at=updated)
    environment = await counted.row(tables.environments, id=f"env_{deployment_id[2:-3]}")

    page = await counted.database.read(lambda conn: previews.page(conn, environment["pk"] - 1, cutoff))
    found = [candidate for candidate in page.candidates if candidate.deployment_id == deployment_id]
    assert bool(found) is is_idle

    row = await counted.row(tables.deployments, id=deployment_id)
    owner = [row[name] for name in ("workspace_id", "project_id", "environment_id", "app_id", "id")]
    candidate = previews.Candidate(*owner)
    await sweep(counted)  # so that the region is counted
    await counted.set(tables.deployments, {"id": deployment_id}, desired_state="running", updated_at=updated)
    stopped = await counted.database.transact(lambda conn: previews.put_to_standby(conn, [candidate], cutoff, now_ms()))
    assert stopped == ([deployment_id] if is_idle else [])
    await counted.set(tables.deployments, {"id": deployment_id}, desired_state="archived")  # out of the others' way


@pytest.mark.parametrize("point", ["sweep page.before", "sweep page.after", "begin sweep.after", "end sweep.after"])
async def test_a_sweep_cut_off_by_a_crash_ends_the_same(counted: Installation, point: str) -> None:
    """These previews are on the first page still: what many of them are needed for comes below."""
    world = await quiet_world(counted)
    inserted = await insert_previews(counted.database, world, 3, 2)
    before = await counter(counted, world)
    counted.kill_at(point)
    sent = await counted.ingress("/hydra.v1.DeployService/k/ScaleDownIdlePreviewDeployments/send", {})
    while counted.stack.worker.exit_code is None:
        await asyncio.sleep(0.02)
    await counted.stack.start_worker()
    answer = await counted.ingress(f"/restate/invocation/{sent.body['invocationId']}/attach", method="GET")

    assert (answer.status, answer.body) == (200, {})
    assert await resting(counted, inserted) == set(inserted.deployment_ids)
    assert await versions(counted, inserted) == list(range(before + 1, before + 7))
    operation = await counted.row(tables.hydra_operations, id=sent.body["invocationId"])
    assert operation["state"] == "succeeded"
    assert operation["detail"]["stopped"] == 6


async def test_a_sweep_that_is_repeated_after_restate_has_forgotten_it_stops_nothing(counted: Installation) -> None:
    """It has the same idempotency key, so it is the same operation, and that one has ended."""
    world = await quiet_world(counted)
    header = {"idempotency-key": f"cron-{uuid.uuid4()}"}

    async def by_cron() -> str:
        answer = await counted.ingress("/hydra.v1.DeployService/k/ScaleDownIdlePreviewDeployments", {}, headers=header)
        assert (answer.status, answer.body) == (200, {})
        return str(answer.headers["x-restate-id"])

    swept = await insert_previews(counted.database, world, 1, 1)
    first = await by_cron()
    assert await resting(counted, swept) == set(swept.deployment_ids)
    before = await counted.row(tables.hydra_operations, id=first)
    idle_by_now = await insert_previews(counted.database, world, 1, 1)
    await counted.forget(first)

    assert await by_cron() == first

    assert await resting(counted, idle_by_now) == set()
    assert await counted.row(tables.hydra_operations, id=first) == before
    await sweep(counted)
    assert await resting(counted, idle_by_now) == set(idle_by_now.deployment_ids)


async def test_a_preview_that_was_swept_is_woken_by_its_next_deploy(counted: Installation) -> None:
    """And stays awake: it counts as touched."""
    world = await counted.world()
    preview = await counted.deployed(world, "preview")
    await age(counted, preview, LONG_AGO_MS, LONG_AGO_MS)
    await sweep(counted)
    assert await state(counted, preview) == ("standby", {"stopped"})

    async def is_gone() -> bool:
        return not await counted.rows(tables.instances, deployment_id=preview)

    await until(is_gone)
    await counted.deploy(preview)

    assert await state(counted, preview) == ("running", {"running"})
    instances = await counted.rows(tables.instances, deployment_id=preview)
    assert len([row for row in instances if row["status"] == "running"]) >= 2
    assert await counted.status(preview) == "ready"
    await sweep(counted)
    assert await state(counted, preview) == ("running", {"running"})


async def test_two_sweeps_at_once_stop_nothing_twice(counted: Installation) -> None:
    """06 · S1: cron fires twice. Every topology takes one number, and no number is taken in vain."""
    world = await quiet_world(counted)
    inserted = await insert_previews(counted.database, world, 120, 3)
    before, began = await counter(counted, world), {row["id"] for row in await sweeps(counted)}
    async with counted.held("sweep page.before") as reached:
        request = deploy_pb2.ScaleDownIdlePreviewDeploymentsRequest()
        both = [
            asyncio.ensure_future(counted.stub.ScaleDownIdlePreviewDeployments(request, timeout=60)) for _ in range(2)
        ]

        async def both_are_there() -> bool:
            return reached.exists() and len(await sweeps(counted)) == len(began) + 2

        await until(both_are_there)
    await asyncio.gather(*both)

    assert await resting(counted, inserted) == set(inserted.deployment_ids)
    many = len(inserted.deployment_ids)
    assert await versions(counted, inserted) == list(range(before + 1, before + 1 + many))
    assert await counter(counted, world) == before + many
    two = [row for row in await sweeps(counted) if row["id"] not in began]
    assert [row["state"] for row in two] == ["succeeded", "succeeded"]
    assert sum(row["detail"]["stopped"] for row in two) == many


async def test_a_page_that_nobody_can_tell_about_is_skipped_and_reported(
    counted: Installation, gate: ClickHouseGate
) -> None:
    """06 · S1: one ClickHouse error in the middle."""
    world = await quiet_world(counted)
    inserted = await insert_previews(counted.database, world, 3 * PER_PAGE, 2)
    middle = inserted.environment_ids[len(inserted.environment_ids) // 2]
    gate.refuse = middle.encode()
    try:
        operation = await sweep(counted)
    finally:
        gate.refuse = None

    rest = await resting(counted, inserted)
    running = set(inserted.deployment_ids) - rest
    assert operation["detail"]["failed_pages"] == 1
    assert operation["detail"]["stopped"] == len(rest)
    assert operation["detail"]["looked_at"] == len(inserted.deployment_ids)
    rows = {row["id"]: row for row in await counted.rows(tables.deployments)}
    assert middle in {rows[name]["environment_id"] for name in running}
    assert len({rows[name]["environment_id"] for name in running}) <= PER_PAGE

    await sweep(counted)  # the next round makes up for it
    assert await resting(counted, inserted) == set(inserted.deployment_ids)


async def test_where_nobody_can_tell_nothing_is_stopped(counted: Installation, gate: ClickHouseGate) -> None:
    """Pages without anything to ask about are no success either."""
    world = await quiet_world(counted)
    await insert_previews(counted.database, world, PER_PAGE, 0)
    inserted = await insert_previews(counted.database, world, PER_PAGE, 1)
    gate.shut = True
    try:
        assert await refused(counted) == (grpc.StatusCode.UNAVAILABLE, "CLICKHOUSE_UNAVAILABLE")
    finally:
        gate.shut = False

    assert await resting(counted, inserted) == set()
    last = max(await sweeps(counted), key=lambda row: row["started_at"])
    assert (last["state"], last["reason"]) == ("failed", "CLICKHOUSE_UNAVAILABLE")
    await sweep(counted)
    assert await resting(counted, inserted) == set(inserted.deployment_ids)


async def test_a_clickhouse_that_was_killed_is_asked_again_when_it_is_back(
    counted: Installation, clickhouse: ClickHouseServer
) -> None:
    world = await quiet_world(counted)
    inserted = await insert_previews(counted.database, world, 1, 1)
    await clickhouse.kill()
    try:
        code, _ = await refused(counted)
    finally:
        await clickhouse.start()
    assert code is grpc.StatusCode.UNAVAILABLE
    assert await resting(counted, inserted) == set()

    await sweep(counted)
    assert await resting(counted, inserted) == set(inserted.deployment_ids)


async def test_the_journal_grows_with_pages_not_with_deployments(counted: Installation, gate: ClickHouseGate) -> None:
    """06 · S1: one question to ClickHouse and one journaled step per page, whatever is in it."""
    world = await quiet_world(counted)
    inserted = await insert_previews(counted.database, world, MANY_ENVIRONMENTS, EACH)
    gate.asked = 0
    began = asyncio.get_running_loop().time()
    operation = await sweep(counted)
    took_s = asyncio.get_running_loop().time() - began

    assert await resting(counted, inserted) == set(inserted.deployment_ids)
    entries = await counted.admin_query(
        f"select entry_type, name, raw_length from sys_journal where id = '{operation['id']}'"
    )
    steps = [row["name"] for row in entries if row["entry_type"] == "Command: Run"]
    size = sum(row["raw_length"] for row in entries)
    pages = operation["detail"]["pages"]
    print(  # noqa: T201 - the figures that this test is asked for
        f"{len(inserted.deployment_ids)} idle previews of {MANY_ENVIRONMENTS} environments: {pages} pages, "
        f"{gate.asked} questions, {len(entries)} journal entries, {size} bytes, {took_s:.2f} s"
    )
    environments = len(await counted.rows(tables.environments, slug="preview"))
    assert pages == -(-environments // PER_PAGE)
    # Where nothing may be idle there is nothing to ask; once it is asked whether the log is written.
    assert gate.asked <= MANY_ENVIRONMENTS // PER_PAGE + 2
    assert steps.count("sweep page") == pages + 1  # the last one finds that there are no more
    # A step is two entries, and so are the request and the answer; a region that has no counter yet is asked for once.
    regions = len(await counted.rows(tables.hydra_region_versions))
    assert len(entries) <= 2 * (len(steps) + 2) + 3 * regions
    assert len(steps) <= pages + 4
    assert size < 256 * (pages + 10)
