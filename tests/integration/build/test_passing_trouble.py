"""Trouble that passes during a build: tried again from the start, a bounded number of times (06 · B1)."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import grpc
import pytest

from service.analytics.builds import NullBuilds
from service.build.builder import BuildContext, Order
from service.build.buildkit import Address
from service.build.frontend import Site
from service.build.own_builder import Daemons, OwnBuilder, OwnBuildKit
from service.build.registry import RegistryAccess
from service.database import tables
from service.dev.busybox import busybox_files
from service.dev.ports import free_port
from service.dev.world import World
from service.domain.build import GitSource
from service.errors import Transient
from tests.build_site import BuildSite
from tests.servers.depot import FakeBuild as DepotBuild
from tests.servers.depot import FakeDepot, FakeMachine
from tests.servers.depot_faults import Refuse
from tests.servers.fake_build import hangs, loses_session
from tests.servers.fake_buildkit import SERVER_NAME, FakeBuildKit
from tests.servers.github_faults import Fault
from tests.servers.registry_gate import RegistryGate
from tests.waiting import until


@pytest.fixture
async def daemon(depot: FakeDepot) -> AsyncIterator[FakeBuildKit]:
    """Run a BuildKit that fails on demand, as the machine that Depot lends."""
    async with FakeBuildKit("mtls") as running:
        assert running.tls is not None
        pems = (pem.decode() for pem in (running.tls.ca, running.tls.cert, running.tls.key))
        depot.machine = FakeMachine(f"127.0.0.1:{running.front.port}", SERVER_NAME, *pems)
        yield running


@pytest.fixture
async def silent_url() -> AsyncIterator[str]:
    """Listen as a ClickHouse that takes every connection and answers nobody."""
    writers: list[asyncio.StreamWriter] = []

    async def hold(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    async with await asyncio.start_server(hold, "127.0.0.1", 0) as server:
        yield f"http://user:password@127.0.0.1:{server.sockets[0].getsockname()[1]}/default"
        for writer in writers:
            writer.transport.abort()


def lent(depot: FakeDepot, world: World) -> list[DepotBuild]:
    """Return Depot's builds of a world's project, oldest first."""
    ours = {project.project_id for project in depot.projects.values() if project.name == f"unkey-{world.project_id}"}
    return [build for build in depot.builds.values() if build.project_id in ours]


async def test_a_connection_that_drops_in_the_middle_of_a_build(
    depot_site: BuildSite, depot: FakeDepot, daemon: FakeBuildKit
) -> None:
    project = await depot_site.project()
    world = await depot_site.installation.world()
    deployment_id = await depot_site.deployment(world)
    daemon.script(hangs())
    deploying = asyncio.ensure_future(depot_site.deploy(deployment_id, project.source()))

    async def begun() -> bool:
        return bool(daemon.builds) and daemon.builds[0].begun.is_set()

    await until(begun)
    daemon.front.drop()
    await deploying

    assert await depot_site.installation.status(deployment_id) == "ready"
    assert len(daemon.builds) == 2
    await daemon.builds[0].ended.wait()
    build = await depot_site.built(deployment_id)
    assert (build["state"], build["executions"], build["failures"]) == ("succeeded", 2, 1)
    assert [each.result for each in lent(depot, world)] == ["error", "success"]
    assert build["build_id"] == lent(depot, world)[-1].build_id


async def test_a_session_that_is_cut(depot_site: BuildSite, depot: FakeDepot, daemon: FakeBuildKit) -> None:
    project = await depot_site.project()
    world = await depot_site.installation.world()
    deployment_id = await depot_site.deployment(world)
    daemon.script(loses_session())

    await depot_site.deploy(deployment_id, project.source())

    build = await depot_site.built(deployment_id)
    assert (build["state"], build["executions"], build["failures"]) == ("succeeded", 2, 1)
    assert [each.cancelled for each in daemon.builds] == [True, False]
    assert [each.result for each in lent(depot, world)] == ["error", "success"]


async def test_trouble_that_does_not_pass_is_given_up(
    depot_site: BuildSite, depot: FakeDepot, daemon: FakeBuildKit
) -> None:
    project = await depot_site.project()
    world = await depot_site.installation.world()
    deployment_id = await depot_site.deployment(world)
    daemon.script(*[loses_session()] * 3)

    refusal = await depot_site.refused(deployment_id, project.source())

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INTERNAL, "BUILD_UNAVAILABLE")
    assert "deploy again later" in refusal.message
    assert await depot_site.installation.status(deployment_id) == "failed"
    build = await depot_site.built(deployment_id)
    assert (build["state"], build["executions"], build["failures"]) == ("failed", 3, 3)
    assert len(daemon.builds) == 3
    assert [each.result for each in lent(depot, world)] == ["error"] * 3


@pytest.mark.parametrize(
    ("call", "executions"),
    [("ListProjects", 1), ("CreateProject", 1), ("CreateBuild", 3), ("GetBuildKitConnection", 1)],
)
async def test_a_depot_that_is_away_for_two_calls(
    depot_site: BuildSite, depot: FakeDepot, daemon: FakeBuildKit, call: str, executions: int
) -> None:
    project = await depot_site.project()
    world = await depot_site.installation.world()
    deployment_id = await depot_site.deployment(world)
    depot.program(call, Refuse("unavailable"), Refuse("unavailable"))

    await depot_site.deploy(deployment_id, project.source())

    build = await depot_site.built(deployment_id)
    assert (build["state"], build["executions"], build["failures"]) == ("succeeded", executions, 0)
    assert len(daemon.builds) == 1
    assert [each.result for each in lent(depot, world)] == ["success"]


async def test_a_machine_that_takes_its_time(depot_site: BuildSite, depot: FakeDepot, daemon: FakeBuildKit) -> None:
    project = await depot_site.project()
    world = await depot_site.installation.world()
    deployment_id = await depot_site.deployment(world)
    depot.pending = 1
    daemon.not_ready = 2

    await depot_site.deploy(deployment_id, project.source())

    build = await depot_site.built(deployment_id)
    assert (build["state"], build["executions"], build["failures"]) == ("succeeded", 1, 0)
    assert daemon.probes == 3


async def test_a_daemon_that_does_not_answer_may_do_so_later() -> None:
    """The real patience is too long for a test, so the builder is asked without an installation."""
    silent = OwnBuildKit(Address.parse(f"tcp://127.0.0.1:{free_port()}"), ready_within=timedelta(milliseconds=200))
    builder = OwnBuilder(
        Daemons(silent), Site("https://git.test", "linux/amd64"), RegistryAccess("registry.test"), NullBuilds()
    )
    order = Order("inv_1", "ws_1", "proj_1", "d_1", GitSource("acme/shop", "0" * 40, ""), "", trusted=True)
    named: list[str] = []

    async def clone_token() -> str:
        return ""

    async def name(build_id: str) -> None:
        named.append(build_id)

    with pytest.raises(Transient, match="does not answer") as raised:
        await builder.build(order, BuildContext(clone_token, name))
    await builder.close()

    assert raised.value.reason == "BUILDER_UNREACHABLE"
    assert named == []


async def test_a_build_that_takes_too_long_is_stopped(
    depot_site: BuildSite, depot: FakeDepot, daemon: FakeBuildKit
) -> None:
    project = await depot_site.project()
    world = await depot_site.installation.world()
    deployment_id = await depot_site.deployment(world)
    daemon.script(hangs())

    async with depot_site.with_settings(HYDRA_BUILD__TIMEOUT="3s"):
        refusal = await depot_site.refused(deployment_id, project.source())

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "BUILD_FAILED")
    assert refusal.cause == "TIMEOUT"
    (build,) = daemon.builds
    await build.ended.wait()
    assert build.cancelled
    assert [each.result for each in lent(depot, world)] == ["canceled"]
    kept = await depot_site.built(deployment_id)
    assert (kept["state"], kept["executions"], kept["failures"]) == ("failed", 1, 0)


async def test_a_machine_that_never_comes_is_not_the_owners_fault(
    depot_site: BuildSite, depot: FakeDepot, daemon: FakeBuildKit
) -> None:
    """There was no build whose step could have been too slow."""
    project = await depot_site.project()
    world = await depot_site.installation.world()
    deployment_id = await depot_site.deployment(world)
    depot.machine = None

    async with depot_site.with_settings(HYDRA_BUILD__TIMEOUT="2s"):
        refusal = await depot_site.refused(deployment_id, project.source())

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INTERNAL, "BUILD_UNAVAILABLE")
    assert daemon.builds == []
    assert [each.result for each in lent(depot, world)] == ["canceled"]


async def test_a_registry_that_is_away_for_a_moment(site: BuildSite) -> None:
    project = await site.project("RUN head -c 32 /dev/urandom > /proof\n")
    world = await site.installation.world()
    deployment_id = await site.deployment(world)

    async with RegistryGate(site.registry.host) as gate, site.with_settings(HYDRA_REGISTRY__URL=gate.host):
        gate.refuse(503, times=1, methods={"PUT"})
        await site.deploy(deployment_id, project.source())

    assert [asked.method for asked in gate.requests if asked.status == 503] == ["PUT"]
    image = await site.registry.manifest("builds", f"{world.project_id}-{deployment_id}")
    assert image is not None
    build = await site.built(deployment_id)
    assert (build["state"], build["digest"]) == ("succeeded", image.digest)


async def test_a_registry_that_is_away_for_a_whole_try(site: BuildSite) -> None:
    project = await site.project("RUN head -c 32 /dev/urandom > /proof\n")
    world = await site.installation.world()
    deployment_id = await site.deployment(world)

    async with RegistryGate(site.registry.host) as gate, site.with_settings(HYDRA_REGISTRY__URL=gate.host):
        gate.refuse(503, times=10**6, methods={"POST", "PUT"})
        deploying = asyncio.ensure_future(site.deploy(deployment_id, project.source()))

        async def failed_once() -> bool:
            rows = await site.installation.rows(tables.hydra_builds, deployment_id=deployment_id)
            return bool(rows) and rows[0]["failures"] == 1

        await until(failed_once)
        gate.refuse(503, times=0)
        await deploying

    image = await site.registry.manifest("builds", f"{world.project_id}-{deployment_id}")
    assert image is not None
    build = await site.built(deployment_id)
    assert (build["state"], build["failures"], build["digest"]) == ("succeeded", 1, image.digest)


async def test_a_token_that_has_ended_is_replaced(site: BuildSite) -> None:
    project = await site.project()
    world = await site.installation.world()
    await site.deploy(await site.deployment(world), project.source())
    newer = await site.git.commit(project.full_name, busybox_files("RUN echo newer\n"))
    site.github.tokens.revoke()
    deployment_id = await site.deployment(world)

    await site.deploy(deployment_id, project.source(commit_sha=newer))

    assert await site.installation.status(deployment_id) == "ready"
    assert len(site.github.asked(f"/installations/{project.installation_id}/access_tokens")) == 2
    build = await site.built(deployment_id)
    assert (build["executions"], build["failures"]) == (1, 0)


async def test_a_token_that_git_refuses_for_good_is_tried_twice(site: BuildSite) -> None:
    project = await site.project()
    world = await site.installation.world()
    deployment_id = await site.deployment(world)
    allows = site.git.allows
    site.git.allows = lambda _repository, _token: False
    try:
        refusal = await site.refused(deployment_id, project.source())
    finally:
        site.git.allows = allows

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "BUILD_FAILED")
    assert refusal.cause == "GIT_AUTH_FAILED"
    assert len(site.github.asked(f"/installations/{project.installation_id}/access_tokens")) == 2
    build = await site.built(deployment_id)
    assert (build["state"], build["executions"], build["failures"]) == ("failed", 1, 0)


@pytest.mark.parametrize("comment_bytes", [6_000, 200_000])
async def test_the_end_of_a_long_dockerfile_is_no_passing_trouble(site: BuildSite, comment_bytes: int) -> None:
    """BuildKit sends the whole Dockerfile along with an error, in the trailers of the call."""
    project = await site.project("# at length\n" * (comment_bytes // 12) + "RUN exit 3\n")
    world = await site.installation.world()
    deployment_id = await site.deployment(world)

    refusal = await site.refused(deployment_id, project.source())

    assert (refusal.reason, refusal.cause) == ("BUILD_FAILED", "RUN_FAILED")
    build = await site.built(deployment_id)
    assert (build["state"], build["executions"], build["failures"]) == ("failed", 1, 0)


async def test_a_github_that_fails_twice(depot_site: BuildSite, daemon: FakeBuildKit) -> None:
    project = await depot_site.project()
    world = await depot_site.installation.world()
    deployment_id = await depot_site.deployment(world)
    path = f"/repos/{project.full_name}/branches/main"
    depot_site.github.faults.plan(path, Fault(500), times=2)

    await depot_site.deploy(deployment_id, project.source(commit_sha=""))

    assert len(depot_site.github.asked(path)) == 3
    assert (await depot_site.installation.row(tables.deployments, id=deployment_id))["git_commit_sha"] == project.sha
    assert len(daemon.builds) == 1


async def test_a_clickhouse_that_answers_nobody(depot_site: BuildSite, daemon: FakeBuildKit, silent_url: str) -> None:
    project = await depot_site.project()
    world = await depot_site.installation.world()
    deployment_id = await depot_site.deployment(world)

    async with depot_site.with_settings(HYDRA_CLICKHOUSE__URL=silent_url):
        await depot_site.deploy(deployment_id, project.source())
        assert await depot_site.installation.status(deployment_id) == "ready"

    assert len(daemon.builds) == 1
    assert "rows for ClickHouse are lost" in depot_site.installation.stack.worker_log.read_text()
