"""Deploys from git, on a real BuildKit, git server and registry: from the request to the image that is read back."""

import asyncio
import secrets
from datetime import timedelta

from service.database import tables
from service.dev.busybox import busybox_files
from service.domain.deployment import PREVIEW
from tests.build_site import BuildSite
from tests.servers.github_repository import Head
from tests.waiting import until


async def test_a_private_repository_becomes_a_running_image(site: BuildSite) -> None:
    project = await site.project("RUN echo made in the build > /proof\n")
    world = await site.installation.world()
    deployment_id = await site.deployment(world)

    await site.deploy(deployment_id, project.source())

    row = await site.installation.row(tables.deployments, id=deployment_id)
    assert row["status"] == "ready"
    assert row["image"] == f"{site.registry.host}/builds:{row['project_id']}-{deployment_id}"
    stored = await site.pushed(row["image"])
    assert stored is not None
    assert stored.config["config"]["Labels"]["org.opencontainers.image.revision"] == project.sha
    build = await site.built(deployment_id)
    assert (build["state"], build["digest"], build["image"]) == ("succeeded", stored.digest, row["image"])
    assert build["build_id"] == row["build_id"]
    assert (row["git_commit_sha"], build["commit_sha"]) == (project.sha, project.sha)
    operation = await site.installation.row(tables.hydra_operations, deployment_id=deployment_id)
    assert operation["detail"]["digest"] == stored.digest
    steps = await site.installation.steps(deployment_id)
    assert list(steps) == ["starting", "building", "deploying", "network", "finalizing"]


async def test_the_commits_name_is_stable_because_the_code_is(site: BuildSite) -> None:
    """02 · 1.6: a random number tells images of one commit apart, and a built one needs none."""
    project = await site.project()
    world = await site.installation.world()
    deployment_id = await site.deployment(world)

    await site.deploy(deployment_id, project.source())

    names = list(await site.installation.routes(world))
    assert [name for name in names if f"-git-{project.sha[:7]}-{world.workspace_slug}" in name]


async def test_a_branch_is_built_at_its_head_and_what_is_known_of_it_is_kept(site: BuildSite) -> None:
    project = await site.project()
    newest = await site.git.commit(project.full_name, busybox_files("RUN true\n"), branch="feature/x")
    site.github.repository(project.full_name).branches["feature/x"] = Head(newest, message="Add a file\n\nAt last.")
    world = await site.installation.world()
    deployment_id = await site.deployment(world, PREVIEW)

    await site.deploy(deployment_id, project.source(commit_sha="", branch="feature/x"))

    row = await site.installation.row(tables.deployments, id=deployment_id)
    assert (row["git_commit_sha"], row["git_branch"], row["git_commit_message"]) == (newest, "feature/x", "Add a file")
    assert row["git_commit_author_handle"] == "octocat"
    assert row["git_commit_author_avatar_url"].startswith("https://")
    assert row["git_commit_timestamp"] == 1_770_091_506_000


async def test_a_context_below_the_root_has_its_own_dockerfile(site: BuildSite) -> None:
    project = await site.project()
    below = await site.below(project, "services/shop", "Dockerfile.prod")
    world = await site.installation.world()
    deployment_id = await site.deployment(world)

    await site.deploy(
        deployment_id,
        project.source(commit_sha=below, context_path="/services/shop/", dockerfile_path="Dockerfile.prod"),
    )

    assert await site.installation.status(deployment_id) == "ready"


async def test_eight_builds_at_once(site: BuildSite) -> None:
    world = await site.installation.world(apps=tuple(f"app-{number}" for number in range(8)))
    projects = [await site.project(f"RUN echo {number} > /proof\n") for number in range(8)]
    deployments = [await site.deployment(world, app=app) for app in world.apps]

    await asyncio.gather(
        *(
            site.deploy(deployment_id, project.source())
            for deployment_id, project in zip(deployments, projects, strict=True)
        )
    )

    digests = {(await site.built(deployment_id))["digest"] for deployment_id in deployments}
    assert len(digests) == 8


async def test_the_steps_and_lines_of_a_build_are_shown(site: BuildSite) -> None:
    line = f"a line of {secrets.token_hex(4)}"  # of this build alone: a step from the cache writes none
    project = await site.project(f"RUN echo {line}\n")
    world = await site.installation.world()
    deployment_id = await site.deployment(world)
    await site.deploy(deployment_id, project.source())

    async def shown() -> bool:
        return line in (await site.logs(deployment_id)).out

    await until(shown)
    found = await site.logs(deployment_id, "--json")
    steps = {step["name"]: step for step in found.document["steps"]}
    (run,) = (step for name, step in steps.items() if f"RUN echo {line}" in name)
    (git,) = (step for name, step in steps.items() if "load git source" in name)
    assert run["has_logs"]
    assert not run["error"]
    assert git["completed_at_ms"] > git["started_at_ms"]  # over both of its completions (04 · 4)
    assert run["started_at_ms"] <= run["completed_at_ms"]


async def test_the_steps_of_a_build_in_the_journal_are_these_and_small(site: BuildSite) -> None:
    """In-flight invocations compare the names (05 · 4); the journal holds ids and small facts (06 · decision 6)."""
    project = await site.project()
    world = await site.installation.world()
    deployment_id = await site.deployment(world)
    await site.deploy(deployment_id, project.source())

    entries = await site.installation.admin_query(
        "select name, entry_type, raw_length from sys_journal "
        f"where id = '{await site.installation.operation(deployment_id)}' order by index"
    )

    steps = [entry["name"] for entry in entries if entry["entry_type"] == "Command: Run"]
    assert list(dict.fromkeys(steps)) == [  # regions are provisioned twice by the first deploy to them
        "claim deployment",
        "start deployment",
        "begin building",
        "resolve commit",
        "find builder project",
        "build image",
        "save image",
        "provision regions",
        "await healthy regions",
        "reserve names",
    ]
    assert sum(entry["raw_length"] for entry in entries) < 10_240


async def test_a_long_build_is_not_cut_off_and_begun_again(site: BuildSite) -> None:
    """05 · 7: while a step runs nothing is journaled, so an attempt may be silent for all of the build's time."""
    url = f"{site.installation.stack.restate.admin_url}/services/hydra.v1.DeployService"
    async with site.installation.http.get(url) as answer:
        served = await answer.json()

    silent_for = duration(served["inactivity_timeout"]) + duration(served["abort_timeout"])
    assert silent_for >= site.installation.stack.settings().build.timeout + timedelta(minutes=10)


def duration(text: str) -> timedelta:
    """Read a duration as Restate's admin API writes it: `45m`, `1h 15m`."""
    units = {"h": "hours", "m": "minutes", "s": "seconds"}
    return sum((timedelta(**{units[part[-1]]: int(part[:-1])}) for part in text.split()), timedelta())
