"""A whole installation on this machine: Restate, a database, the service, and an agent for every region."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Self

import aiohttp

from service.analytics.dsn import parse as parse_clickhouse
from service.analytics.tables import create_tables
from service.config import Settings, load
from service.database.dsn import parse as parse_dsn
from service.database.engine import Database
from service.database.migrations import migrate
from service.dev.build_servers import BuildServers
from service.dev.clickhouse import ClickHouseServer
from service.dev.ports import free_port, free_ports
from service.dev.process import Process
from service.dev.restate import RestateOptions, RestatePorts, RestateServer
from service.errors import FailedPrecondition

PORTS_FILE = "ports.json"  # a folder with this file holds a stack

_READY_WITHIN = timedelta(seconds=30)
_SERVE = (sys.executable, "-m", "service", "serve")


@dataclass(frozen=True)
class StackOptions:
    """What may differ between stacks.

    `dsn` is any that the configuration takes; empty means SQLite in the stack's folder. `deploy` holds keys of
    the configuration's `[deploy]` table, as TOML text; `configuration` is TOML that goes at its end. `clickhouse`:
    with a ClickHouse of its own. `builds`: with a git server, a registry and a BuildKit of its own, so that it builds
    from git. `serve` is the command that serves, without its options; without `service` nothing is served before
    `start_worker`, and the database is left as it is. Within `stop_grace` it ends in order, or it is
    killed.
    """

    dsn: str = ""
    service: bool = True
    deploy: Mapping[str, str] = field(default_factory=dict)
    clickhouse: bool = False
    builds: bool = False
    restate: RestateOptions = field(default_factory=RestateOptions)
    serve: Sequence[str] = _SERVE
    environ: Mapping[str, str] = field(default_factory=dict)
    configuration: str = ""
    stop_grace: timedelta = timedelta(seconds=10)


@dataclass(frozen=True)
class StackPorts:
    """Where a stack listens. Restate remembers addresses, so a folder that is used again keeps its ports."""

    ingress: int
    admin: int
    node: int
    http: int
    grpc: int
    # Not in folders of before there were such servers:
    clickhouse: int = field(default_factory=free_port)
    git: int = field(default_factory=free_port)
    registry: int = field(default_factory=free_port)

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Return the ports that are kept in a folder, or free ones for a new folder."""
        kept = folder / PORTS_FILE
        return cls(**json.loads(kept.read_text())) if kept.exists() else cls(*free_ports(8))

    def keep(self, folder: Path) -> None:
        (folder / PORTS_FILE).write_text(json.dumps(asdict(self)))


class LocalStack:
    """One installation in one folder, on loopback ports; all of it ends with the stack, but for the folder."""

    def __init__(self, folder: Path, options: StackOptions | None = None) -> None:
        """Choose programs and ports. Raises ProgramMissing where `builds` cannot be had."""
        self.folder = folder
        self.options = options or StackOptions()
        self.dsn = self.options.dsn or f"sqlite:///{folder / 'hydra.db'}"
        self.ports = StackPorts.of(folder)
        restate_ports = RestatePorts(self.ports.ingress, self.ports.admin, self.ports.node)
        self.restate = RestateServer(folder / "restate", ports=restate_ports, options=self.options.restate)
        self.clickhouse = (
            ClickHouseServer(folder / "clickhouse", self.ports.clickhouse) if self.options.clickhouse else None
        )
        self.build_servers = BuildServers(folder, self.ports.git, self.ports.registry) if self.options.builds else None
        self.config_file = folder / "hydra.toml"
        self.database: Database
        self._worker: Process | None = None
        self._exit = AsyncExitStack()

    @property
    def grpc_address(self) -> str:
        return f"127.0.0.1:{self.ports.grpc}"

    @property
    def health_url(self) -> str:
        return f"http://127.0.0.1:{self.ports.http}/health"

    @property
    def worker_log(self) -> Path:
        return self.folder / "worker.log"

    @property
    def worker(self) -> Process:
        """The process that serves."""
        if self._worker is None:
            raise FailedPrecondition("the service was not started")
        return self._worker

    def settings(self) -> Settings:
        """Read the stack's configuration file, as the worker does."""
        return load(self.config_file, {})

    async def __aenter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ports.keep(self.folder)
        self.config_file.touch(mode=0o600)  # it holds a password
        self.config_file.write_text(self._configuration())
        try:
            await self._start_servers()
            self.database = await Database.open(parse_dsn(self.dsn))
            self._exit.push_async_callback(self.database.close)
            self._exit.push_async_callback(self.stop_worker)  # first, for a start that is cut short
            if self.options.service:
                await migrate(self.database)
                await self.start_worker()
        except BaseException:
            await self._exit.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exit.aclose()

    async def _start_servers(self) -> None:
        """Start all that the service stands on, side by side. Raises what the first to fail raises."""
        try:
            async with asyncio.TaskGroup() as starting:
                starting.create_task(self._exit.enter_async_context(self.restate))
                if self.clickhouse is not None:
                    starting.create_task(self._start_clickhouse(self.clickhouse))
                for server in self.build_servers.parts if self.build_servers else ():
                    starting.create_task(self._exit.enter_async_context(server))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None

    async def _start_clickhouse(self, server: ClickHouseServer) -> None:
        await self._exit.enter_async_context(server)
        await create_tables(parse_clickhouse(server.url))

    async def start_worker(self, environ: Mapping[str, str] | None = None) -> None:
        """Start the service and wait until it is registered and ready."""
        argv = [*self.options.serve, "--config", str(self.config_file)]
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        wanted = {**inherited, **self.options.environ, **(environ or {})}
        self._worker = Process.start("the service", argv, self.worker_log, wanted)
        await self._worker.wait_ready(self._is_ready, _READY_WITHIN)

    async def stop_worker(self) -> None:
        """Stop the service in order; nothing where it does not run."""
        if self._worker is not None and self._worker.exit_code is None:
            await self._worker.stop(self.options.stop_grace)

    async def _is_ready(self) -> bool:
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1)) as session,
                session.get(f"{self.health_url}/ready") as answer,
            ):
                return answer.status == 200  # noqa: PLR2004 - OK
        except (aiohttp.ClientError, TimeoutError):
            return False

    def _configuration(self) -> str:
        clickhouse = self.clickhouse.url if self.clickhouse else ""
        deploy = "\n".join(f"{key} = {value}" for key, value in self.options.deploy.items())
        return f"""
default_domain = "hydra.localhost"

[database]
primary = {_quoted(self.dsn)}

[restate]
admin_url = "{self.restate.admin_url}"
ingress_url = "{self.restate.ingress_url}"
http_host = "127.0.0.1"
http_port = {self.ports.http}
register_as = "http://127.0.0.1:{self.ports.http}"

[clickhouse]
url = {_quoted(clickhouse)}

[grpc]
listen = "{self.grpc_address}"

[deploy]
{deploy}

[log]
level = "info"
format = "text"
{self.build_servers.configuration if self.build_servers else ""}
{self.options.configuration}"""


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
