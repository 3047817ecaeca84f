"""How builds end otherwise: failed by their source, cancelled, and with the worker killed in the middle."""

import asyncio
import secrets

import grpc
import pytest

from service.database import tables
from tests.build_site import BuildSite, Project, runs
from tests.command import hydra
from tests.installation import hears_in_a_step
from tests.integration.reconciling.rounds import found_of
from tests.waiting import until

BROKEN = {
    "a command that fails": ("RUN echo going; exit 7\n", "RUN", "exit code"),
    "a file that is not there": ("COPY nowhere.txt /\n", "FILE_NOT_FOUND", "nowhere.txt"),
    "a line that is no instruction": ("RUNN true\n", "SYNTAX", "RUNN"),
}


async def started(marker: str) -> None:
    async def here() -> bool:
        return runs(marker)

    await until(here)


async def gone(marker: str) -> None:
    async def away() -> bool:
        return not runs(marker)

    await until(away)


async def slow(site: BuildSite) -> tuple[Project, str]:
    """Make a repository with a RUN that lasts; returns it and what the process can be known by."""
    seconds = f"{secrets.randbelow(10**6) + 5 * 10**6}"
    return await site.project(f"RUN sleep {seconds}\n"), seconds


@pytest.mark.parametrize("fault", BROKEN)
async def test_a_source_that_does_not_build_ends_at_once_with_what_its_owner_can_do(
    site: BuildSite, fault: str
) -> None:
    dockerfile, cause, named = BROKEN[fault]
    project = await site.project(dockerfile)
    world = await site.installation.world()
    deployment_id = await site.deployment(world)

    refusal = await site.refused(deployment_id, project.source())

    assert refusal.code is grpc.StatusCode.FAILED_PRECONDITION
    assert refusal.reason == "BUILD_FAILED"
    assert cause in refusal.cause
    steps = await site.installation.steps(deployment_id)
    assert steps["building"]["ended_at"] is not None
    assert steps["building"]["error"] == refusal.message
    assert named.lower() in refusal.message.lower()
    assert await site.installation.status(deployment_id) == "failed"
    build = await site.built(deployment_id)
    assert (build["state"], build["executions"], build["failures"]) == ("failed", 1, 0)


async def test_a_commit_that_is_not_there_is_the_owners_to_know(site: BuildSite) -> None:
    project = await site.project()
    world = await site.installation.world()
    deployment_id = await site.deployment(world)

    refusal = await site.refused(deployment_id, project.source(commit_sha="5" * 40))

    assert refusal.reason == "BUILD_FAILED"
    assert "5555555" in refusal.message


async def test_a_branch_that_is_not_there_is_the_owners_to_know(site: BuildSite) -> None:
    project = await site.project()
    world = await site.installation.world()
    deployment_id = await site.deployment(world)

    refusal = await site.refused(deployment_id, project.source(commit_sha="", branch="nowhere"))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "BRANCH_NOT_FOUND")


@hears_in_a_step
async def test_a_cancelled_build_is_stopped_first_and_then_the_deploy_ends(site: BuildSite) -> None:
    """06 · L7, as an operator does it."""
    project, marker = await slow(site)
    world = await site.installation.world()
    deployment_id = await site.deployment(world)
    waiting = asyncio.ensure_future(site.refused(deployment_id, project.source()))
    await started(marker)

    told = await hydra("cancel", deployment_id, "--config", site.installation.stack.config_file)

    assert (told.code, told.err) == (0, "")
    await gone(marker)
    assert (await waiting).code is grpc.StatusCode.CANCELLED
    assert await site.installation.status(deployment_id) == "failed"
    operation = await site.installation.row(tables.hydra_operations, deployment_id=deployment_id)
    assert operation["state"] == "cancelled"
    assert (await site.built(deployment_id))["lease_until"] == 0


@hears_in_a_step
async def test_a_worker_that_is_killed_leaves_no_build_behind_and_the_next_one_builds_anew(site: BuildSite) -> None:
    """06 · B5, L5."""
    project, marker = await slow(site)
    world = await site.installation.world()
    deployment_id = await site.deployment(world)
    await site.send(deployment_id, project.source())
    await started(marker)

    await site.installation.stack.worker.kill()
    await gone(marker)
    await site.installation.stack.start_worker()
    await started(marker)

    build = await site.built(deployment_id)
    assert (build["executions"], build["state"]) == (2, "running")
    await site.installation.cancel(await site.installation.operation(deployment_id))
    assert await site.ended(deployment_id) == "failed"
    await gone(marker)


async def test_a_build_whose_operation_is_killed_is_stopped_and_settled(site: BuildSite) -> None:
    """06 · L4: nobody is left to undo it but the reconciler."""
    project, marker = await slow(site)
    world = await site.installation.world()
    deployment_id = await site.deployment(world)
    await site.send(deployment_id, project.source())
    await started(marker)
    operation = await site.installation.operation(deployment_id)

    await site.installation.kill(operation)

    await gone(marker)
    assert await found_of(site.installation, operation) == [("OPERATION_KILLED", "SETTLED")]
    assert await site.installation.status(deployment_id) == "failed"
    build = await site.built(deployment_id)
    assert (build["state"], build["lease_until"]) == ("failed", 0)


@pytest.mark.parametrize("forgotten", [False, True], ids=["journal", "journal and row"])
async def test_an_image_that_was_pushed_before_a_crash_is_taken_and_not_built_again(
    site: BuildSite, *, forgotten: bool
) -> None:
    """06 · B5: the worker dies after the push, before the journal, or even our own row, hears of it."""
    project = await site.project("RUN head -c 32 /dev/urandom > /proof\n")
    world = await site.installation.world()
    deployment_id = await site.deployment(world)
    worker = site.installation.stack.worker
    site.installation.kill_at("build image.after")
    await site.send(deployment_id, project.source())

    async def killed() -> bool:
        return worker.exit_code is not None

    await until(killed)
    build = await site.built(deployment_id)
    first = await site.pushed(build["image"])
    assert first is not None
    if forgotten:
        await site.installation.set(
            tables.hydra_builds, {"deployment_id": deployment_id}, digest=None, state="running", image=None
        )
    await site.installation.stack.start_worker()
    assert await site.ended(deployment_id) == "ready"

    row = await site.installation.row(tables.deployments, id=deployment_id)
    again = await site.pushed(row["image"])
    assert again is not None
    assert again.digest == first.digest
    build = await site.built(deployment_id)
    assert (build["digest"], build["state"], row["build_id"]) == (first.digest, "succeeded", build["build_id"])


async def test_a_pull_request_of_a_fork_is_built_without_a_token(site: BuildSite) -> None:
    project = await site.public_project()
    world = await site.installation.world()
    sha = await site.pull_request(project, 7, "RUN echo from a fork\n")
    deployment_id = await site.deployment(world, pr_number=7, fork_repository_full_name="stranger/shop")

    await site.deploy(deployment_id, project.source(commit_sha=sha, branch="", pr_number=7))

    row = await site.installation.row(tables.deployments, id=deployment_id)
    assert (row["status"], row["git_commit_sha"]) == ("ready", sha)
    assert not [asked for asked in site.git.requests if asked.repository == project.full_name and asked.has_token]


async def test_a_pull_request_without_a_commit_is_built_at_its_head(site: BuildSite) -> None:
    project = await site.public_project()
    world = await site.installation.world()
    sha = await site.pull_request(project, 8, "RUN echo from a fork\n")
    deployment_id = await site.deployment(world, pr_number=8)

    await site.deploy(deployment_id, project.source(commit_sha="", branch="", pr_number=8))

    assert (await site.installation.row(tables.deployments, id=deployment_id))["git_commit_sha"] == sha


async def test_a_pull_request_that_moved_is_not_built(site: BuildSite) -> None:
    """06 · B3."""
    project = await site.public_project()
    world = await site.installation.world()
    sha = await site.pull_request(project, 9, "RUN echo as it was reviewed\n")
    moved = await site.pull_request(project, 9, "RUN echo as nobody has seen it\n")
    deployment_id = await site.deployment(world, pr_number=9)

    refusal = await site.refused(deployment_id, project.source(commit_sha=sha, branch="", pr_number=9))

    assert refusal.cause == "COMMIT_DIFFERS"
    assert moved[:12] in refusal.message
    row = await site.installation.row(tables.deployments, id=deployment_id)
    assert await site.pushed(f"{site.registry.host}/builds:{row['project_id']}-{deployment_id}") is None


async def test_the_code_of_a_private_repository_is_not_for_forks(site: BuildSite) -> None:
    project = await site.project()
    await site.pull_request(project, 3, "RUN true\n")
    world = await site.installation.world()
    deployment_id = await site.deployment(world, pr_number=3)

    refusal = await site.refused(deployment_id, project.source(branch="", pr_number=3))

    assert refusal.reason == "BUILD_FAILED"


async def test_a_dockerfile_may_read_the_token_but_nobody_else_does(site: BuildSite) -> None:
    """06 · X3: the token of a build is shown to its Dockerfile, and kept out of everything that is written down."""
    host = site.git.url.removeprefix("http://")
    print_it = f"RUN --mount=type=secret,id=GIT_AUTH_TOKEN.{host} cat /run/secrets/*; exit 1\n"
    project = await site.project(print_it)
    world = await site.installation.world()
    deployment_id = await site.deployment(world)

    await site.refused(deployment_id, project.source())

    async def shown() -> bool:
        return "***" in (await site.logs(deployment_id)).out

    await until(shown)
    secrets_planted = site.secrets()
    assert len(secrets_planted) > 2
    for where, text in (await site.written_down(deployment_id)).items():
        for name, secret in secrets_planted.items():
            assert secret not in text, f"{name} is in {where}"
