"""Builds as GitHub shows them: 06 · G1, and what is known of a commit only once it was looked up."""

import asyncio
import secrets

import grpc

from service.database import tables
from service.dev.busybox import busybox_files
from service.dev.world import Connection, World, connect_repository
from service.domain.deployment import PREVIEW
from tests.build_site import BuildSite, Project, runs
from tests.installation import hears_in_a_step
from tests.reporting_site import Shown, our_comment, shows, table, told
from tests.servers.github_records import Deployment
from tests.servers.github_repository import Head
from tests.waiting import until

BRANCH = "feature/x"


async def connected(site: BuildSite, project: Project) -> World:
    """Seed a world whose app is connected to a repository."""
    world = await site.installation.world()
    connection = Connection(project.installation_id, project.full_name)
    await connect_repository(site.installation.database, world.project_id, world.app.id, connection)
    return world


async def proposed(site: BuildSite, project: Project, dockerfile: str) -> tuple[str, int]:
    """Push to a branch and open its pull request; returns the commit and the pull request's number."""
    sha = await site.git.commit(project.full_name, busybox_files(dockerfile), branch=BRANCH)
    repository = site.github.repository(project.full_name)
    repository.branches[BRANCH] = Head(sha)
    return sha, repository.open_pull_request(BRANCH)


def shown(site: BuildSite, project: Project) -> tuple[Deployment, list[str]]:
    """Return GitHub's only deployment of a repository, and its states."""
    (found,) = site.github.repository(project.full_name).deployments
    return found, [status.state for status in found.statuses]


def row(site: BuildSite, project: Project, number: int) -> Shown:
    """Return the only row of our comment."""
    (found,) = table(our_comment(site.github, site.github.repository(project.full_name), number).body)
    return found


async def says(site: BuildSite, project: Project, number: int, status: str) -> None:
    """Wait until GitHub shows a status in both places."""

    async def both() -> bool:
        repository = site.github.repository(project.full_name)
        if not repository.comments(number):
            return False
        return shown(site, project)[1][-1] == "in_progress" and row(site, project, number).status == status

    await until(both)


async def over(site: BuildSite, deployment_id: str) -> list[str]:
    """Wait until GitHub has heard of a deploy that has ended; returns the reports."""
    return await told(site.installation, await site.installation.operation(deployment_id))


async def test_a_broken_dockerfile_is_shown_on_the_commit_and_in_the_pull_request(site: BuildSite) -> None:
    """06 · G1: and that it is being built is shown before the build begins."""
    project = await site.project()
    world = await connected(site, project)
    sha, number = await proposed(site, project, "COPY nowhere.txt /\n")
    deployment_id = await site.deployment(world, PREVIEW)

    async with site.installation.held("build image.before"):
        waiting = asyncio.ensure_future(site.refused(deployment_id, project.source(commit_sha=sha, branch=BRANCH)))
        await says(site, project, number, "🔨 Building Building the image")
    refusal = await waiting

    await over(site, deployment_id)
    deployment, states = shown(site, project)
    assert (deployment.ref, states) == (sha, ["pending", "in_progress", "failure"])
    _, building, failure = [status.description for status in deployment.statuses]
    assert building == "Building the image"
    assert "nowhere.txt" in failure
    assert shows(failure, refusal.message)
    failed = row(site, project, number)
    assert failed.status.startswith("❌ Failed ")
    assert shows(failed.status.removeprefix("❌ Failed "), refusal.message)
    assert (failed.commit, failed.preview_url) == (sha[:7], "")
    assert failed.inspect_url == deployment.statuses[-1].log_url


@hears_in_a_step
async def test_a_build_is_shown_while_it_runs_and_that_it_was_cancelled(site: BuildSite) -> None:
    project = await site.project()
    world = await connected(site, project)
    marker = f"{secrets.randbelow(10**6) + 7 * 10**6}"
    sha, number = await proposed(site, project, f"RUN sleep {marker}\n")
    deployment_id = await site.deployment(world, PREVIEW)
    waiting = asyncio.ensure_future(site.refused(deployment_id, project.source(commit_sha=sha, branch=BRANCH)))

    async def running() -> bool:
        return runs(marker)

    await until(running)
    await says(site, project, number, "🔨 Building Building the image")
    await site.installation.cancel(await site.installation.operation(deployment_id))

    assert (await waiting).code is grpc.StatusCode.CANCELLED
    await over(site, deployment_id)
    assert shown(site, project)[1] == ["pending", "in_progress", "error"]
    assert "cancelled" in row(site, project, number).status


async def test_a_branch_is_reported_once_its_commit_is_known(site: BuildSite) -> None:
    project = await site.project()
    world = await connected(site, project)
    sha, number = await proposed(site, project, "RUN true\n")
    deployment_id = await site.deployment(world, PREVIEW)

    await site.deploy(deployment_id, project.source(commit_sha="", branch=BRANCH))

    await over(site, deployment_id)
    deployment, states = shown(site, project)
    assert (deployment.ref, states) == (sha, ["pending", "in_progress", "success"])
    ready = row(site, project, number)
    assert (ready.status, ready.commit) == ("✅ Ready", sha[:7])
    routes = await site.installation.routes(world)
    assert routes[ready.preview_url.removeprefix("https://").partition(".")[0]] == deployment_id


async def test_a_branch_that_is_not_there_has_no_commit_to_report_on(site: BuildSite) -> None:
    project = await site.project()
    world = await connected(site, project)
    deployment_id = await site.deployment(world, PREVIEW)

    refusal = await site.refused(deployment_id, project.source(commit_sha="", branch="nowhere"))

    assert refusal.reason == "BRANCH_NOT_FOUND"
    assert await over(site, deployment_id) == []
    assert site.github.repository(project.full_name).deployments == []


async def test_the_pull_request_of_a_fork_is_known_by_its_number(site: BuildSite) -> None:
    project = await site.public_project()
    world = await connected(site, project)
    sha = await site.pull_request(project, 7, "RUN echo from a fork\n")
    deployment_id = await site.deployment(world, PREVIEW, fork_repository_full_name="stranger/shop")

    await site.deploy(deployment_id, project.source(commit_sha="", branch="", pr_number=7))

    await over(site, deployment_id)
    deployment, states = shown(site, project)
    assert (deployment.ref, states) == (sha, ["pending", "in_progress", "success"])
    ready = row(site, project, 7)
    assert (ready.status, ready.commit) == ("✅ Ready", sha[:7])


async def test_another_attempt_at_a_branch_that_has_moved_on_is_of_another_commit(site: BuildSite) -> None:
    project = await site.project()
    world = await connected(site, project)
    broken, number = await proposed(site, project, "RUN false\n")
    deployment_id = await site.deployment(world, PREVIEW)
    source = project.source(commit_sha="", branch=BRANCH)
    await site.refused(deployment_id, source)
    await over(site, deployment_id)

    repaired = await site.git.commit(project.full_name, busybox_files("RUN true\n"), branch=BRANCH)
    repository = site.github.repository(project.full_name)
    repository.branches[BRANCH] = Head(repaired)
    repository.older.append(Head(broken))
    await site.deploy(deployment_id, source)

    await over(site, deployment_id)
    assert [(each.ref, each.state) for each in repository.deployments] == [(broken, "failure"), (repaired, "success")]
    kept = await site.installation.row(tables.deployments, id=deployment_id)
    assert kept["github_deployment_id"] == repository.deployments[-1].deployment_id
    ready = row(site, project, number)
    assert (ready.status, ready.commit) == ("✅ Ready", repaired[:7])
