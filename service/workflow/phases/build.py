"""Phase `building`: find the image to run, or build it, and save it on the deployment (02 · 1.1)."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from hydra.v1 import deploy_pb2
from sqlalchemy.ext.asyncio import AsyncConnection

from service.build.builder import Built, Order
from service.clock import now_ms
from service.contract import git_source_of
from service.database import attempts, deployments, operations, projects, steps
from service.database.deployments import Subject
from service.domain.build import GitSource
from service.domain.deployment import Step
from service.durable.journal import Budget, Journal
from service.workflow.build_execution import Assignment, execute
from service.workflow.phases.report import Report
from service.workflow.runtime import Runtime

# After the build's own time is up, what is left is to say so in the database.
_GRACE = timedelta(minutes=10)
_FIRST_PAUSE = timedelta(seconds=2)
_LONGEST_PAUSE = timedelta(seconds=15)


@dataclass(frozen=True)
class Head:
    """The commit that a branch or a pull request stood at."""

    sha: str
    branch: str


@dataclass(frozen=True)
class Image:
    """The deployment whose image is known now, and whether we built that from the deployment's commit."""

    subject: Subject
    is_built: bool


async def resolve_image(
    journal: Journal, runtime: Runtime, subject: Subject, request: deploy_pb2.DeployRequest, report: Report
) -> Image:
    """Take the ready image, or build one from git; GitHub hears of it before that begins."""
    if request.WhichOneof("source") == "docker_image":
        report.begin(subject)
        await _take(journal, runtime, subject, request.docker_image.image)
        return Image(subject, is_built=False)
    source = git_source_of(request)
    deadline_ms = await _begin(journal, runtime, subject)
    head = await _head(journal, runtime, subject, source)
    source = replace(source, commit_sha=head.sha, branch=head.branch)
    of_commit = replace(subject, git_commit_sha=head.sha, git_branch=head.branch or subject.git_branch)
    report.begin(of_commit)
    trusted = not source.pull_request and not subject.fork_repository_full_name
    order = Order(
        journal.operation_id,
        subject.workspace_id,
        subject.project_id,
        subject.deployment_id,
        source,
        builder_project=await _project(journal, runtime, subject, trusted=trusted),
        trusted=trusted,
    )
    built = await _build(journal, runtime, Assignment(order, deadline_ms))
    await _save(journal, runtime, subject, built)
    return Image(of_commit, is_built=True)


async def _take(journal: Journal, runtime: Runtime, subject: Subject, image: str) -> None:
    """Save a ready image and begin `deploying`; the step `building` is over as soon as it begins."""

    async def work(conn: AsyncConnection) -> None:
        await attempts.require(conn, subject.deployment_id, journal.operation_id)
        await steps.advance(conn, subject, [Step.BUILDING, Step.DEPLOYING], now_ms(), image=image)

    await journal.step("save image", type(None), lambda: runtime.database.transact(work))


async def _begin(journal: Journal, runtime: Runtime, subject: Subject) -> int:
    """Begin `building`, and fix when the build has to be over: Unix milliseconds."""

    async def work(conn: AsyncConnection) -> int:
        now = now_ms()
        await attempts.require(conn, subject.deployment_id, journal.operation_id)
        await steps.advance(conn, subject, [Step.BUILDING], now)
        return now + int(runtime.options.build_timeout.total_seconds() * 1000)

    return await journal.step("begin building", int, lambda: runtime.database.transact(work))


async def _head(journal: Journal, runtime: Runtime, subject: Subject, source: GitSource) -> Head:
    """Find the commit to build and keep what is known of it on the deployment.

    Raises BuildFailed where GitHub says that there is no such branch, pull request or repository.
    """

    async def look_up() -> Head:
        commit = _known(source) if source.commit_sha else await _look_up(runtime, source)

        async def work(conn: AsyncConnection) -> None:
            await attempts.require(conn, subject.deployment_id, journal.operation_id)
            await deployments.change(conn, subject.deployment_id, now_ms(), **commit)

        await runtime.database.transact(work)
        return Head(commit["git_commit_sha"], commit.get("git_branch", ""))

    return await journal.step("resolve commit", Head, look_up)


def _known(source: GitSource) -> dict[str, Any]:
    """Return what a request says of its commit, as columns of the deployment."""
    return {"git_commit_sha": source.commit_sha, **({"git_branch": source.branch} if source.branch else {})}


async def _look_up(runtime: Runtime, source: GitSource) -> dict[str, Any]:
    """Return what GitHub says of the newest commit, as columns of the deployment."""
    installation = source.installation_id or None
    if source.pull_request:
        commit = await runtime.github.pull_request_head(source.repository, source.pull_request, installation)
    else:
        commit = await runtime.github.branch_head(source.repository, source.branch, installation)
    return {
        "git_commit_sha": commit.sha,
        **({"git_branch": commit.branch} if commit.branch else {}),
        "git_commit_message": commit.message,
        "git_commit_author_handle": commit.author_handle,
        "git_commit_author_avatar_url": commit.author_avatar_url,
        "git_commit_timestamp": commit.committed_at_ms,
    }


async def _project(journal: Journal, runtime: Runtime, subject: Subject, *, trusted: bool) -> str:
    """Find the builder's project for ours, made at the first build; what is not trusted has one of its own."""

    async def find() -> str:
        known = await runtime.database.read(lambda conn: projects.builder_project(conn, subject.project_id))
        if known and trusted:
            return known
        made = await runtime.builder.project(subject.project_id, trusted=trusted)
        if not made or not trusted:
            return made
        return await runtime.database.transact(
            lambda conn: projects.give_builder_project(conn, subject.project_id, made, now_ms())
        )

    return await journal.step("find builder project", str, find)


async def _build(journal: Journal, runtime: Runtime, assignment: Assignment) -> Built:
    """Build the image. One step: what a crash leaves of it is found again or replaced (06 · B5)."""
    budget = Budget(runtime.options.build_timeout + _GRACE, _FIRST_PAUSE, _LONGEST_PAUSE)
    return await journal.step("build image", Built, lambda: execute(runtime, assignment), budget)


async def _save(journal: Journal, runtime: Runtime, subject: Subject, built: Built) -> None:
    """Save the image that was built and begin `deploying`; the digest is kept with the operation."""
    facts = {"image": built.image, "digest": built.digest, "commit": built.commit_sha, "build": built.build_id}

    async def work(conn: AsyncConnection) -> None:
        await attempts.require(conn, subject.deployment_id, journal.operation_id)
        columns = {"image": built.image, "build_id": built.build_id or None}
        await steps.advance(conn, subject, [Step.DEPLOYING], now_ms(), **columns)
        await operations.annotate(conn, journal.operation_id, {name: fact for name, fact in facts.items() if fact})

    await journal.step("save image", type(None), lambda: runtime.database.transact(work))
