"""An installation that reports to a GitHub of its own, and what can be read there."""

import json
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from markdown_it import MarkdownIt
from markdown_it.token import Token

from service.database import tables
from service.dev.stack import LocalStack
from service.dev.world import Connection, World, connect_repository
from service.domain.deployment import PRODUCTION
from tests.installation import Installation, stack_options
from tests.servers.github import Asked, FakeGitHub
from tests.servers.github_records import Comment, Deployment
from tests.servers.github_repository import Head, Repository
from tests.waiting import until

DASHBOARD = "https://dashboard.example.com"

_REPORTING = ("hydra.v1.GitHubStatusService", "hydra.v1.PullRequestCommentService")
_COLUMNS = 6
_LONGEST = 140


@asynccontextmanager
async def reporting_site(
    folder: Path, dsn: str, environ: Mapping[str, str] | None = None
) -> "AsyncIterator[ReportingSite]":
    """Run an installation with a GitHub; `environ` is the worker's, on top."""
    async with FakeGitHub() as github:
        given = {
            "HYDRA_GITHUB__APP_ID": str(github.app.app_id),
            "HYDRA_GITHUB__PRIVATE_KEY_PEM": github.app.private_key_pem,
            "HYDRA_GITHUB__API_URL": github.url,
            "HYDRA_DASHBOARD_URL": DASHBOARD,
            **(environ or {}),
        }
        async with Installation(LocalStack(folder, stack_options(folder, dsn, environ=given))) as installation:
            yield ReportingSite(installation, github)


@dataclass(frozen=True)
class Connected:
    """A world whose apps are connected to one repository, which knows the commit `sha` and the branch `branch`."""

    world: World
    repository: Repository
    installation_id: int
    sha: str
    branch: str


class ReportingSite:
    """One installation and its GitHub. Tests share it, and keep apart by worlds and repositories of their own."""

    def __init__(self, installation: Installation, github: FakeGitHub) -> None:
        self.installation = installation
        self.github = github

    async def connected(self, branch: str = "feature", **spec: Any) -> Connected:
        """Seed a world with a repository, of an owner of its own, and connect its apps."""
        owner = f"acme-{secrets.token_hex(4)}"
        sha = secrets.token_hex(20)
        repository = self.github.add_repository(f"{owner}/shop", branches={"main": Head(sha), branch: Head(sha)})
        world = await self.installation.world(**spec)
        connected = Connected(world, repository, self.github.install(owner), sha, branch)
        await self.connect(connected, world)
        return connected

    async def connect(self, to: Connected, world: World) -> None:
        """Connect a world's apps to the repository of another."""
        connection = Connection(to.installation_id, to.repository.full_name)
        for app in world.apps.values():
            await connect_repository(self.installation.database, world.project_id, app.id, connection)

    async def deployment(self, connected: Connected, environment: str = PRODUCTION, **spec: Any) -> str:
        """Create a deployment of the repository's commit."""
        given = {"git_commit_sha": connected.sha, "git_branch": connected.branch, **spec}
        return await self.installation.deployment(connected.world, environment, **given)

    async def deploy(self, deployment_id: str) -> list[str]:
        """Deploy, and wait until GitHub has heard of it; returns as `told`."""
        await self.installation.deploy(deployment_id)
        return await told(self.installation, await self.installation.operation(deployment_id))

    async def shown(self, connected: Connected, deployment_id: str) -> Deployment:
        """Return GitHub's deployment for ours, by the id that is kept with ours."""
        row = await self.installation.row(tables.deployments, id=deployment_id)
        (found,) = (
            each for each in connected.repository.deployments if each.deployment_id == row["github_deployment_id"]
        )
        return found

    def asked_of(self, connected: Connected) -> list[Asked]:
        """Return the requests about a repository, and those for tokens of its installation."""
        names = (f"/repos/{connected.repository.full_name}", f"/app/installations/{connected.installation_id}/")
        return [asked for asked in self.github.requests if asked.path.startswith(names)]

    def comment(self, connected: Connected, number: int) -> Comment:
        """Return the only comment of our App on a pull request."""
        return our_comment(self.github, connected.repository, number)


async def handlers(installation: Installation, deployment_id: str) -> list[dict[str, Any]]:
    """Find the invocations that report a deployment: those of its own object, and the rows that these put."""
    service = "hydra.v1.GitHubStatusService"
    return await installation.admin_query(
        "select id, status, completion_result, retry_count from sys_invocation "
        f"where (target_service_name = '{service}' and target_service_key = '{deployment_id}') "
        f"or invoked_by_target like '{service}/{deployment_id}/%'"
    )


async def told(installation: Installation, invocation_id: str) -> list[str]:
    """Wait until all is done that an invocation, which has ended, asked to be reported; returns the handlers' names."""
    sent = await installation.admin_query(
        "select entry_lite_json from sys_journal "
        f"where id = '{invocation_id}' and entry_type = 'Command: OneWayCall' order by index"
    )
    targets = [_target(entry["entry_lite_json"]) for entry in sent]
    handlers = [handler for service, handler in targets if service in _REPORTING]
    done: list[str] = []

    async def over() -> bool:
        rows = await installation.admin_query(
            f"select id, target_service_name from sys_invocation where invoked_by_id = '{invocation_id}' "
            "and status = 'completed'"
        )
        done[:] = [row["id"] for row in rows if row["target_service_name"] in _REPORTING]
        return len(done) == len(handlers)

    await until(over)
    for each in done:
        await told(installation, each)
    return handlers


def _target(entry: str) -> tuple[str, str]:
    (command,) = json.loads(entry)["Command"].values()
    (called,) = command["invocation_target"].values()
    return called["name"], called["handler"]


def our_comment(github: FakeGitHub, repository: Repository, number: int) -> Comment:
    """Return the only comment of our App on a pull request."""
    (ours,) = (each for each in repository.comments(number) if each.author == github.bot())
    return ours


@dataclass(frozen=True)
class Shown:
    """A row of the comment as a reader sees it; `app` with the environment after a space."""

    app: str
    status: str
    preview_url: str
    inspect_url: str
    commit: str
    commit_url: str

    @classmethod
    def read(cls, cells: list[Token]) -> Self:
        said = [_text(cell) for cell in cells]
        leads_to = [_link(cell) for cell in cells]
        return cls(said[0], said[1], leads_to[2], leads_to[3], said[4], leads_to[4])


def table(body: str) -> list[Shown]:
    """Read the rows of a comment as an independent reader of Markdown does."""
    tokens = MarkdownIt("commonmark").enable("table").parse(body)
    cells = [after for before, after in pairwise(tokens) if before.type == "td_open"]
    return [Shown.read(cells[first : first + _COLUMNS]) for first in range(0, len(cells), _COLUMNS)]


def shows(shown: str, message: str) -> bool:
    """Tell whether one line shows a message: in full, or as far as a description may be long on GitHub."""
    line, cut = " ".join(message.split()), shown.removesuffix("…")
    return shown == line or (shown != cut and len(cut) > _LONGEST - 40 and line.startswith(cut))


def _text(cell: Token) -> str:
    said = (
        " " if part.content == "<br>" else "" if part.type == "html_inline" else part.content
        for part in cell.children or []
    )
    return "".join(said).replace("\u200b", "").strip()


def _link(cell: Token) -> str:
    return next((str(part.attrGet("href")) for part in cell.children or [] if part.type == "link_open"), "")
