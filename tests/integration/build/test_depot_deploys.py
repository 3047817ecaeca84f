"""Deploys whose images are built at Depot: a fake of its API, which lends out a real BuildKit behind mutual TLS."""

import asyncio
import json
import secrets
from collections.abc import Iterator

import grpc
import pytest

from service.database import tables
from service.dev.world import World
from tests.build_site import BuildSite, runs
from tests.installation import hears_in_a_step
from tests.servers.depot import FakeBuild, FakeDepot, FakeMachine, FakeProject
from tests.servers.depot_faults import Gate
from tests.waiting import until


@pytest.fixture
def site(depot_site: BuildSite, depot: FakeDepot, depot_machine: FakeMachine) -> Iterator[BuildSite]:
    """Lend out the real machine; what a test changes of Depot's token is put back, for others share this Depot."""
    depot.machine = depot_machine
    yield depot_site
    depot.token = depot_site.registry.account.password


def projects(depot: FakeDepot, name: str) -> list[FakeProject]:
    return [project for project in depot.projects.values() if project.name == name]


def builds(depot: FakeDepot, project_id: str) -> list[FakeBuild]:
    return [build for build in depot.builds.values() if build.project_id == project_id]


async def stored(site: BuildSite, world: World) -> str | None:
    """Read which project at Depot is known to be ours."""
    found: str | None = (await site.installation.row(tables.projects, id=world.project_id))["depot_project_id"]
    return found


async def first_deploy(site: BuildSite, world: World) -> str:
    """Deploy something, so that there is a project at Depot; returns its id."""
    project = await site.project()
    await site.deploy(await site.deployment(world), project.source())
    found = await stored(site, world)
    assert found
    return found


async def test_a_private_repository_is_built_in_a_project_of_its_own(site: BuildSite, depot: FakeDepot) -> None:
    project = await site.project("RUN echo made at Depot > /proof\n")
    world = await site.installation.world()
    deployment_id = await site.deployment(world)

    await site.deploy(deployment_id, project.source())

    (made,) = projects(depot, f"unkey-{world.project_id}")
    assert (made.region, made.keep_gb, made.keep_days) == ("us-east-1", 50, 14)
    assert await stored(site, world) == made.project_id
    row = await site.installation.row(tables.deployments, id=deployment_id)
    assert row["status"] == "ready"
    assert row["image"] == f"{site.registry.host}/{made.project_id}:{world.project_id}-{deployment_id}"
    image = await site.pushed(row["image"])
    assert image is not None
    (build,) = builds(depot, made.project_id)
    kept = await site.built(deployment_id)
    assert (kept["state"], kept["digest"], kept["image"]) == ("succeeded", image.digest, row["image"])
    assert (build.build_id, build.build_id) == (row["build_id"], kept["build_id"])
    assert (build.result, build.events[-1]) == ("success", "FinishBuild")
    assert build.platforms == {"BUILDER_PLATFORM_AMD64"}
    assert build.heartbeats


async def test_the_next_deploy_uses_the_same_project(site: BuildSite, depot: FakeDepot) -> None:
    world = await site.installation.world()
    project_id = await first_deploy(site, world)
    asked = len(depot.called("ListProjects"))

    await site.deploy(await site.deployment(world), (await site.project()).source())

    assert [build.result for build in builds(depot, project_id)] == ["success", "success"]
    assert await stored(site, world) == project_id
    assert len(depot.called("ListProjects")) == asked


async def test_two_first_deploys_at_once_end_with_one_project(site: BuildSite, depot: FakeDepot) -> None:
    world = await site.installation.world(apps=("web", "api"))
    gates = Gate(), Gate()
    depot.program("CreateProject", *gates)
    sources = [(await site.project()).source() for _ in world.apps]
    deployments = [await site.deployment(world, app=app) for app in world.apps]
    deploys = [
        asyncio.ensure_future(site.deploy(deployment_id, source))
        for deployment_id, source in zip(deployments, sources, strict=True)
    ]
    for gate in gates:
        await gate.reached.wait()
    for gate in gates:
        gate.open.set()
    await asyncio.gather(*deploys)

    assert len(projects(depot, f"unkey-{world.project_id}")) == 2
    project_id = await stored(site, world)
    assert len(builds(depot, str(project_id))) == 2
    for deployment_id in deployments:
        row = await site.installation.row(tables.deployments, id=deployment_id)
        assert row["image"] == f"{site.registry.host}/{project_id}:{world.project_id}-{deployment_id}"


async def test_a_build_that_fails_is_reported_without_secrets(site: BuildSite, depot: FakeDepot) -> None:
    """A Dockerfile may well hold the registry's password, and BuildKit quotes the command that failed."""
    project = await site.project(f"RUN echo '{site.registry.account.password}'; exit 3\n")
    world = await site.installation.world()

    refusal = await site.refused(await site.deployment(world), project.source())

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "BUILD_FAILED")
    (build,) = builds(depot, str(await stored(site, world)))
    assert (build.result, build.error) == ("error", refusal.message)
    assert "exit code 3" in build.error
    told = str([json.loads(call.body) for call in depot.calls])
    for name, secret in site.secrets().items():
        assert secret not in told, name


async def test_what_depot_lends_is_written_down_nowhere(site: BuildSite, depot: FakeDepot) -> None:
    """06 · X3."""
    world = await site.installation.world()
    deployment_id = await site.deployment(world)
    await site.deploy(deployment_id, (await site.project()).source())

    (build,) = builds(depot, str(await stored(site, world)))
    assert depot.machine is not None
    lent = {"the build's token": build.token, "the machine's key": depot.machine.key_pem.splitlines()[1]}
    for where, text in (await site.written_down(deployment_id)).items():
        for name, secret in (site.secrets() | lent).items():
            assert secret not in text, f"{name} is in {where}"


@hears_in_a_step
async def test_a_cancelled_build_is_reported_as_that_and_runs_no_longer(site: BuildSite, depot: FakeDepot) -> None:
    seconds = str(10**9 + secrets.randbelow(10**9))
    project = await site.project(f"RUN sleep {seconds}\n")
    world = await site.installation.world()
    deployment_id = await site.deployment(world)
    waiting = asyncio.ensure_future(site.refused(deployment_id, project.source()))

    async def started() -> bool:
        return runs(seconds)

    async def gone() -> bool:
        return not runs(seconds)

    await until(started)
    await site.installation.cancel(await site.installation.operation(deployment_id))

    assert (await waiting).code is grpc.StatusCode.CANCELLED
    (build,) = builds(depot, str(await stored(site, world)))
    assert build.result == "canceled"
    await until(gone)


async def test_a_project_that_was_deleted_is_made_anew_by_the_next_deploy(site: BuildSite, depot: FakeDepot) -> None:
    world = await site.installation.world()
    project = await site.project()
    deleted = await first_deploy(site, world)
    del depot.projects[deleted]

    refusal = await site.refused(await site.deployment(world), project.source())

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "BUILDER_PROJECT_GONE")
    assert await stored(site, world) is None
    deployment_id = await site.deployment(world)
    await site.deploy(deployment_id, project.source())
    (made,) = projects(depot, f"unkey-{world.project_id}")
    assert await stored(site, world) == made.project_id
    image = (await site.installation.row(tables.deployments, id=deployment_id))["image"]
    assert image.startswith(f"{site.registry.host}/{made.project_id}:")


@pytest.mark.parametrize("refused_call", ["ListProjects", "CreateBuild"])
async def test_a_token_that_depot_refuses_is_the_operators_to_correct(
    site: BuildSite, depot: FakeDepot, refused_call: str
) -> None:
    world = await site.installation.world()
    if refused_call == "CreateBuild":
        await first_deploy(site, world)
    deployment_id = await site.deployment(world)
    depot.token = "another-token"  # noqa: S105 - made up

    refusal = await site.refused(deployment_id, (await site.project()).source())

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "DEPOT_AUTH_FAILED")
    assert refused_call in refusal.message
    assert "registry.password" in refusal.message
    assert await site.installation.status(deployment_id) == "failed"


async def test_a_forks_pull_request_is_built_elsewhere_and_finds_no_token(site: BuildSite, depot: FakeDepot) -> None:
    """06 · decision 6: what a fork leaves in its cache must not come into a build of the project's own."""
    project = await site.public_project()
    host = site.git.url.removeprefix("http://")
    thief = f"RUN --mount=type=secret,id=GIT_AUTH_TOKEN.{host},target=/token test ! -e /token\n"
    sha = await site.pull_request(project, 7, thief)
    world = await site.installation.world()
    deployment_id = await site.deployment(world, pr_number=7, fork_repository_full_name="stranger/shop")

    await site.deploy(deployment_id, project.source(commit_sha=sha, branch="", pr_number=7))

    (forks,) = projects(depot, f"unkey-{world.project_id}-forks")
    assert [build.result for build in builds(depot, forks.project_id)] == ["success"]
    assert projects(depot, f"unkey-{world.project_id}") == []
    assert await stored(site, world) is None
    row = await site.installation.row(tables.deployments, id=deployment_id)
    assert (row["status"], row["git_commit_sha"]) == ("ready", sha)
    assert row["image"].startswith(f"{site.registry.host}/{forks.project_id}:")
    assert not [asked for asked in site.git.requests if asked.repository == project.full_name and asked.has_token]
