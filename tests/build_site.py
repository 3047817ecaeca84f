"""An installation that builds: with a git server, a GitHub and a registry of its own, on a BuildKit or at Depot."""

import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from google.rpc import error_details_pb2, status_pb2
from hydra.v1 import deploy_pb2

from service.database import tables
from service.dev.busybox import busybox_files
from service.dev.clickhouse import ClickHouseServer
from service.dev.git_server import GitServer
from service.dev.registry import RegistryServer, StoredImage
from service.dev.stack import LocalStack
from service.dev.world import World
from service.domain.deployment import PRODUCTION
from tests.command import Ended, hydra
from tests.installation import Installation, stack_options
from tests.servers.github import FakeGitHub
from tests.servers.github_repository import Head
from tests.waiting import until

BUILD_LEASE = "6s"  # a machine that is busy may renew late; a test waits for that of an execution that died


@dataclass(frozen=True)
class Servers:
    """The real servers that installations share."""

    registry: RegistryServer
    clickhouse: ClickHouseServer


@asynccontextmanager
async def build_site(
    folder: Path, dsn: str, servers: Servers, environ: Mapping[str, str]
) -> "AsyncIterator[BuildSite]":
    """Run an installation with a GitHub and a git server of its own; `environ` says which builder it has."""
    async with FakeGitHub() as github:

        def allows(repository: str, token: str) -> bool:
            return github.valid_token(token, repository)

        async with GitServer(folder / "git", allows) as git:
            given = _environ(servers, git, github) | dict(environ)
            options = stack_options(folder, dsn, clickhouse_url=servers.clickhouse.url, environ=given)
            async with Installation(LocalStack(folder, options)) as installation:
                yield BuildSite(installation, git, github, servers.registry)


def _environ(servers: Servers, git: GitServer, github: FakeGitHub) -> dict[str, str]:
    """Say where all is that a builder needs, in the configuration's variables."""
    return {
        "HYDRA_GITHUB__APP_ID": str(github.app.app_id),
        "HYDRA_GITHUB__PRIVATE_KEY_PEM": github.app.private_key_pem,
        "HYDRA_GITHUB__API_URL": github.url,
        "HYDRA_GITHUB__CLONE_URL": git.url,
        "HYDRA_REGISTRY__URL": servers.registry.host,
        "HYDRA_REGISTRY__USERNAME": servers.registry.account.username,
        "HYDRA_REGISTRY__PASSWORD": servers.registry.account.password,
        "HYDRA_BUILD__REGISTRY_INSECURE": "true",
        "HYDRA_BUILD__LEASE": BUILD_LEASE,
    }


@dataclass(frozen=True)
class Project:
    """A repository with an installation that may read it."""

    full_name: str
    installation_id: int
    sha: str

    def source(self, **changed: Any) -> deploy_pb2.GitSource:
        """Ask for its first commit, or for what is `changed`."""
        given = {"commit_sha": self.sha, "branch": "main"} | changed
        return deploy_pb2.GitSource(installation_id=self.installation_id, repository=self.full_name, **given)


@dataclass(frozen=True)
class Refusal:
    """Why a deploy ended without a release; `cause` is empty where nothing is finer than the reason."""

    code: grpc.StatusCode
    reason: str
    cause: str
    message: str


class BuildSite:
    """One installation with all around it. Tests share it, and keep apart by worlds and repositories of their own."""

    def __init__(
        self, installation: Installation, git: GitServer, github: FakeGitHub, registry: RegistryServer
    ) -> None:
        self.installation = installation
        self.git = git
        self.github = github
        self.registry = registry

    async def project(
        self, dockerfile: str = "RUN echo hello\n", files: Mapping[str, str | bytes] | None = None
    ) -> Project:
        """Make a private repository, of an owner of its own, whose Dockerfile goes on as given after a shell."""
        owner = f"acme-{secrets.token_hex(4)}"
        name = f"{owner}/shop"
        sha = await self.git.create(name, {**busybox_files(dockerfile), **(files or {})}, private=True)
        self.github.add_repository(name, branches={"main": Head(sha)})
        return Project(name, self.github.install(owner), sha)

    async def deployment(self, world: World, environment: str = PRODUCTION, **spec: Any) -> str:
        return await self.installation.deployment(world, environment, **{"git_commit_sha": None, **spec})

    async def deploy(self, deployment_id: str, source: deploy_pb2.GitSource, timeout: float = 60) -> None:
        """Deploy from git over gRPC and wait; raises grpc.aio.AioRpcError."""
        await self.installation.stub.Deploy(
            deploy_pb2.DeployRequest(deployment_id=deployment_id, git=source), timeout=timeout
        )

    async def refused(self, deployment_id: str, source: deploy_pb2.GitSource) -> Refusal:
        """Deploy from git, which has to fail, and return why it did."""
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await self.deploy(deployment_id, source)
        trailers: Any = raised.value.trailing_metadata()
        status = status_pb2.Status.FromString(dict(trailers)["grpc-status-details-bin"])
        info = error_details_pb2.ErrorInfo()
        assert status.details[0].Unpack(info)
        return Refusal(raised.value.code(), info.reason, info.metadata["cause"], str(raised.value.details()))

    @asynccontextmanager
    async def with_settings(self, **environ: str) -> AsyncIterator[None]:
        """Run the service with other settings while the block lasts."""
        stack = self.installation.stack
        await stack.stop_worker()
        await stack.start_worker(environ)
        try:
            yield
        finally:
            await stack.stop_worker()
            await stack.start_worker()

    async def public_project(self) -> Project:
        """Make a repository that anybody may read."""
        name = f"acme-{secrets.token_hex(4)}/shop"
        sha = await self.git.create(name, busybox_files("RUN true\n"))
        self.github.add_repository(name, private=False, branches={"main": Head(sha)})
        return Project(name, self.github.install(name.partition("/")[0]), sha)

    async def pull_request(self, project: Project, number: int, dockerfile: str) -> str:
        """Open a pull request, or push to one; returns its head."""
        sha = await self.git.pull_request(project.full_name, number, busybox_files(dockerfile))
        self.github.repository(project.full_name).pull_requests[number] = Head(sha, login="stranger")
        return sha

    def secrets(self) -> dict[str, str]:
        """Return all that nobody may ever read anywhere, by what it is."""
        key = self.github.app.private_key_pem.splitlines()[1]
        tokens = {f"token {number}": token for number, token in enumerate(self.github.tokens.given)}
        return {"the App's key": key, "the registry's password": self.registry.account.password, **tokens}

    async def written_down(self, deployment_id: str) -> dict[str, str]:
        """Read everything that a deploy leaves behind: log, journal, rows, telemetry, and the process list."""
        installation = self.installation
        operation_id = await installation.operation(deployment_id)
        journal = await installation.admin_query(f"select raw from sys_journal where id = '{operation_id}'")
        every_table = [*tables.ours.tables.values(), *tables.reference.tables.values()]
        return {
            "the log": installation.stack.worker_log.read_text(),
            "the journal": " ".join(str(bytes.fromhex(str(entry.get("raw", "")))) for entry in journal),
            "the rows": str([await installation.rows(table) for table in every_table]),
            "the build's log": (await self.logs(deployment_id, "--json")).out,
            "the process list": " ".join(_command_lines()),
        }

    async def below(self, project: Project, folder: str, dockerfile: str) -> str:
        """Put the whole repository below a folder, with its Dockerfile under another name; returns the commit."""
        names = {"Dockerfile": dockerfile}
        files = {f"{folder}/{names.get(name, name)}": content for name, content in busybox_files("RUN true\n").items()}
        return await self.git.commit(project.full_name, {**files, "Dockerfile": "FROM nothing-of-the-kind\n"})

    async def logs(self, deployment_id: str, *options: str) -> Ended:
        """Run `hydra-deploy logs`."""
        config = self.installation.stack.config_file
        environ = dict(self.installation.stack.options.environ)
        return await hydra("logs", deployment_id, "--config", config, *options, environ=environ)

    async def send(self, deployment_id: str, source: deploy_pb2.GitSource) -> None:
        """Ask for a deploy from git over Restate, which outlives the worker, and wait for nothing."""
        request = deploy_pb2.DeployRequest(deployment_id=deployment_id, git=source)
        path = f"/hydra.v1.DeployService/{deployment_id}/Deploy/send"
        answer = await self.installation.ingress(path, json_format.MessageToDict(request))
        assert answer.status == 202

    async def ended(self, deployment_id: str) -> str:
        """Wait for a deploy's end; returns the status."""

        async def over() -> bool:
            return await self.installation.status(deployment_id) in ("ready", "failed")

        await until(over)
        return await self.installation.status(deployment_id)

    async def built(self, deployment_id: str) -> dict[str, Any]:
        """Read the row of the deployment's newest build."""
        *_, newest = await self.installation.rows(tables.hydra_builds, deployment_id=deployment_id)
        return newest

    async def pushed(self, image: str) -> StoredImage | None:
        """Read an image back from the registry."""
        name, _, tag = image.removeprefix(f"{self.registry.host}/").rpartition(":")
        return await self.registry.manifest(name, tag)

    @property
    def folder(self) -> Path:
        return self.installation.stack.folder


def runs(marker: str) -> bool:
    """Tell whether a process of this machine was started with a text, be it in a container. Linux only."""
    return any(marker in line for line in _command_lines())


def _command_lines() -> Iterator[str]:
    """Yield what every process was started with. Linux only."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                yield (entry / "cmdline").read_text(errors="replace")
