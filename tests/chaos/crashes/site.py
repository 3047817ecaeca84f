"""The installation that the harness crashes: with a GitHub, a BuildKit and a registry, all of them recorded."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp

from service.database.dsn import parse
from service.database.engine import Database
from service.database.migrations import migrate
from service.dev.stack import LocalStack
from service.dev.workload import AgentBehaviour
from tests.build_site import BUILD_LEASE
from tests.chaos.crashes.aim import FOLDER, Post
from tests.chaos.crashes.outside import Outside, WatchedFaults, builds
from tests.chaos.crashes.registry import PASSWORD, USERNAME, FakeRegistry
from tests.chaos.crashes.victims import Worker
from tests.inside_caller import InsideCaller
from tests.installation import Installation, stack_options
from tests.servers.fake_buildkit import FakeBuildKit
from tests.servers.github import FakeGitHub

_ACCEPTED = (200, 202)
# Longer than a run, and so a replaced deployment is left with its scheduled stop.
_DEPLOY = {"standby_delay": '"30m"', "health_timeout": '"60s"', "step_timeout": '"2m"'}
_STARTS = "External error"  # what Restate's SQL says before it has found its partitions
ENCRYPTED = b"planted encrypted variables"


class CrashSite:
    """One installation for all runs, which keep apart by worlds of their own."""

    def __init__(self, installation: Installation, worker: Worker, dsn: str) -> None:
        self.installation = installation
        self.worker = worker
        self.post = Post(Path(installation.stack.options.environ[FOLDER]))
        self.github: FakeGitHub
        self.buildkit: FakeBuildKit
        self.registry: FakeRegistry
        self.outside: Outside
        self.inside: InsideCaller
        self.dsn = dsn

    async def query(self, query: str) -> list[dict[str, Any]]:
        """Ask Restate's introspection SQL, again where the server was killed meanwhile."""
        url = f"{self.installation.stack.restate.admin_url}/query"
        while True:
            with suppress(aiohttp.ClientError):
                async with (
                    aiohttp.ClientSession() as http,
                    http.post(url, json={"query": query}, headers={"accept": "application/json"}) as answer,
                ):
                    said = await answer.json()
                    if answer.ok:
                        rows: list[dict[str, Any]] = said["rows"]
                        return rows
                    assert _STARTS in said["message"], said
            await asyncio.sleep(0.05)

    async def configure(self, settings: Mapping[str, str]) -> None:
        """Start the worker anew where it has other settings of its own than these."""
        if self.post.settings() != settings:
            self.post.set(settings)
            await self.worker.restart()

    async def send(self, service: str, key: str, rpc: str, body: Any, idempotency_key: str = "") -> str:
        """Ask for work over Restate, which outlives the worker, and wait for nothing; returns the invocation's id."""
        headers = {"idempotency-key": idempotency_key} if idempotency_key else {}
        answer = await self.installation.ingress(f"/{service}/{key}/{rpc}/send", body, headers=headers)
        assert answer.status in _ACCEPTED, answer
        return str(answer.body["invocationId"])

    async def kill(self, invocation_id: str) -> None:
        await self._operate(invocation_id, "kill")

    async def hurry(self, invocation_id: str) -> None:
        """Have an invocation tried again that would wait longer; Restate resumes only what is paused."""
        await self._operate(invocation_id, "pause")
        await asyncio.sleep(0.05)
        await self._operate(invocation_id, "resume")

    async def _operate(self, invocation_id: str, what: str) -> None:
        url = f"{self.installation.stack.restate.admin_url}/invocations/{invocation_id}/{what}"
        with suppress(aiohttp.ClientError):
            async with aiohttp.ClientSession() as http, http.patch(url):
                return

    def secrets(self) -> dict[str, str]:
        """Return what nobody may ever read in a log or a journal, by what it is."""
        tokens = {f"GitHub token {number}": token for number, token in enumerate(self.github.tokens.given)}
        return {
            "the database's password": parse(self.dsn).password,
            "the App's key": self.github.app.private_key_pem.splitlines()[1],
            "the registry's password": PASSWORD,
            "encrypted variables": ENCRYPTED.decode(),
            **tokens,
        }


@asynccontextmanager
async def crash_site(folder: Path, dsn: str, clickhouse_url: str) -> AsyncIterator[CrashSite]:
    """Run an installation whose worker is forked, on a database that is empty yet."""
    database = await Database.open(parse(dsn))
    await migrate(database)
    await database.close()
    outside = Outside()
    async with (
        FakeGitHub() as github,
        FakeRegistry() as registry,
        FakeBuildKit(default=builds(outside, registry)) as buildkit,
    ):
        github.faults = WatchedFaults(outside)
        crashes = folder / "crashes"
        crashes.mkdir(parents=True)
        environ = {FOLDER: str(crashes), **_environ(github, registry, buildkit)}
        options = replace(stack_options(folder, dsn, _DEPLOY, clickhouse_url, environ), service=False)
        async with (
            Installation(LocalStack(folder, options)) as installation,
            Worker(installation.stack) as worker,
            InsideCaller(installation) as inside,
        ):
            for agent in installation.agents.values():
                agent.behave(AgentBehaviour(dead=True))  # runs have agents of their own
            site = CrashSite(installation, worker, dsn)
            site.github, site.registry, site.buildkit = github, registry, buildkit
            site.outside, site.inside = outside, inside
            yield site


def _environ(github: FakeGitHub, registry: FakeRegistry, buildkit: FakeBuildKit) -> dict[str, str]:
    return {
        "HYDRA_GITHUB__APP_ID": str(github.app.app_id),
        "HYDRA_GITHUB__PRIVATE_KEY_PEM": github.app.private_key_pem,
        "HYDRA_GITHUB__API_URL": github.url,
        "HYDRA_DASHBOARD_URL": "https://dashboard.example.com",
        "HYDRA_REGISTRY__URL": registry.host,
        "HYDRA_REGISTRY__USERNAME": USERNAME,
        "HYDRA_REGISTRY__PASSWORD": PASSWORD,
        "HYDRA_BUILD__ADDRESS": buildkit.address,
        "HYDRA_BUILD__REGISTRY_INSECURE": "true",
        "HYDRA_BUILD__LEASE": BUILD_LEASE,
    }
