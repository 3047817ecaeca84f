"""A database that was restored from a backup, while regional agents went on: they have seen higher versions."""

import time
from collections.abc import AsyncIterator

import grpc.aio
import pytest
from hydra.v1 import versioning_pb2

from service.app.doctor import database as doctor
from service.app.doctor.checks import Finding, Level
from service.app.doctor.examine import examine
from service.database import tables
from service.dev.stack import LocalStack
from tests.command import hydra
from tests.inside_caller import InsideCaller
from tests.installation import Installation, stack_options
from tests.servers.mariadb import MariaDB
from tests.version_readers import STAMPED, given_twice
from tests.waiting import until

REGION = "us-east-1"
SEEN = 1000


@pytest.fixture(scope="module")
async def site(server: MariaDB | None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    """Run an installation of these tests' own: they set counters back."""
    folder = tmp_path_factory.mktemp("restored")
    options = stack_options(folder, await server.create_database() if server else "", {"health_timeout": '"5s"'})
    async with Installation(LocalStack(folder, options)) as running:
        yield running


async def restored(*options: str, site: Installation) -> str:
    ended = await hydra("migrate", *options, "--config", site.stack.config_file)
    assert (ended.code, ended.err) == (0, "")
    return ended.out


async def counter(site: Installation, region_id: str) -> int:
    return int((await site.row(tables.hydra_region_versions, region_id=region_id))["version"])


async def runs(site: Installation, deployment_id: str) -> bool:
    instances = await site.rows(tables.instances, deployment_id=deployment_id)
    return bool(instances) and {row["status"] for row in instances} == {"running"}


async def versions_check(site: Installation) -> Finding:
    found = await examine(site.stack.settings(), [(doctor.PART, doctor.examine)])
    return next(finding for finding in found if finding.check == "versions")


async def stamped(site: Installation, region_id: str) -> list[int]:
    return [row["version"] for table in STAMPED for row in await site.rows(table, region_id=region_id)]


async def test_agents_follow_a_restored_database_again(site: Installation) -> None:
    world = await site.world(regions=(REGION,), apps=("default", "api"))
    region_id = site.agents[REGION].region.id
    live = await site.deployed(world)
    topology = await site.row(tables.deployment_topology, deployment_id=live)
    backup = {name: topology[name] for name in ("version", "desired_status")}

    # After the backup it was stopped, and the region's agent heard of that.
    here = {"deployment_id": live}
    await site.set(tables.deployment_topology, here, version=SEEN, desired_status="stopped")
    await until(lambda: gone(site, live))
    await site.set(tables.deployment_topology, here, **backup)
    await site.set(tables.hydra_region_versions, {"region_id": region_id}, version=10)

    unheard = await site.deployment(world, app="api")
    with pytest.raises(grpc.aio.AioRpcError):
        await site.deploy(unheard)
    assert await gone(site, unheard)
    assert await gone(site, live)

    before_ms = int(time.time() * 1000)
    said = await restored("--restored", site=site)

    assert f"raised the versions of the region {REGION}: from 1" in said
    assert await counter(site, region_id) >= before_ms
    assert min(await stamped(site, region_id)) > before_ms
    assert await given_twice(site) == []
    await until(lambda: runs(site, live))
    heard = await site.deployed(world, app="api")
    assert await site.status(heard) == "ready"
    assert (await versions_check(site)).level is Level.OK


async def gone(site: Installation, deployment_id: str) -> bool:
    return not await site.rows(tables.instances, deployment_id=deployment_id)


async def test_it_may_run_again_and_numbers_go_on_above(site: Installation) -> None:
    world = await site.world(regions=(REGION,))
    region_id = site.agents[REGION].region.id
    deployment_id = await site.deployed(world)
    order = await in_order(site)
    last = await counter(site, region_id)
    for _ in range(3):
        await restored("--restored", site=site)
        assert await counter(site, region_id) > last
        last = await counter(site, region_id)
        assert max(await stamped(site, region_id)) <= last
        assert await in_order(site) == order
    assert await given_twice(site) == []
    async with InsideCaller(site) as inside:
        answer = await inside.call(
            "hydra.v1.VersioningService", "NextVersion", region_id, versioning_pb2.NextVersionRequest()
        )
        assert int(answer.version) == last + 1
    assert await runs(site, deployment_id)


async def in_order(site: Installation) -> list[tuple[str, int]]:
    """List what is stamped by its version, as table and key."""
    rows = [(row["version"], table.name, row["pk"]) for table in STAMPED for row in await site.rows(table)]
    return [(name, pk) for _, name, pk in sorted(rows)]
