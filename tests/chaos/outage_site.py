"""An installation whose worker reaches every outside part through a gate: what it is made of, and what it leaves."""

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hydra.v1 import deploy_pb2
from yarl import URL

from service.database import tables
from service.dev.clickhouse import ClickHouseServer
from service.dev.registry import RegistryServer
from service.dev.stack import LocalStack, StackPorts
from service.dev.world import Connection, World, connect_repository
from tests.chaos.gate import Gate
from tests.chaos.holdings import Holdings
from tests.installation import Installation, stack_options
from tests.servers.depot import FakeDepot, FakeMachine
from tests.servers.fake_buildkit import SERVER_NAME, FakeBuildKit
from tests.servers.github import FakeGitHub
from tests.servers.github_repository import Head
from tests.servers.mariadb import MariaDB

# As they are by default: an outage of five minutes is to be outlived.
_PATIENCE = {"health_timeout": '"15m"', "step_timeout": '"10m"', "standby_delay": '"1h"'}


@dataclass(frozen=True)
class Servers:
    """The real servers behind the gates."""

    mariadb: MariaDB
    clickhouse: ClickHouseServer
    registry: RegistryServer


@dataclass(frozen=True)
class Order:
    """A deployment that is to be built from git, and its world."""

    world: World
    deployment_id: str
    request: deploy_pb2.DeployRequest


class OutageSite:
    """`gates` are by the names of PARTS, and stand between the worker alone and the parts."""

    def __init__(
        self, installation: Installation, github: FakeGitHub, daemon: FakeBuildKit, gates: Mapping[str, Gate]
    ) -> None:
        self.installation = installation
        self.github = github
        self.daemon = daemon
        self.gates = gates

    async def order(self) -> Order:
        """Create a deployment of the newest commit of a repository of its own, whose apps are connected to it."""
        owner = f"acme-{secrets.token_hex(4)}"
        sha = secrets.token_hex(20)
        self.github.add_repository(f"{owner}/shop", branches={"main": Head(sha)})
        connection = Connection(self.github.install(owner), f"{owner}/shop")
        world = await self.installation.world()
        await connect_repository(self.installation.database, world.project_id, world.app.id, connection)
        deployment_id = await self.installation.deployment(world, git_branch="main")
        source = deploy_pb2.GitSource(
            installation_id=connection.installation_id, repository=connection.repository, branch="main"
        )
        return Order(world, deployment_id, deploy_pb2.DeployRequest(deployment_id=deployment_id, git=source))

    def held(self) -> Holdings:
        return Holdings.of(self.installation.stack.worker.pid)

    def connections(self) -> dict[str, int]:
        """Count the worker's connections to each part."""
        return {part: gate.connections for part, gate in self.gates.items()}

    async def running(self) -> list[dict[str, Any]]:
        """List the invocations that Restate works on."""
        return await self.installation.admin_query(
            "select id, target, status, retry_count, last_failure from sys_invocation "
            "where status not in ('completed', 'scheduled')"
        )

    async def nothing_runs(self) -> bool:
        return not await self.running()

    async def outcome(self, order: Order) -> dict[str, Any]:
        """Describe what a deploy left, without times and drawn ids."""
        installation, deployment_id = self.installation, order.deployment_id
        deployment = await installation.row(tables.deployments, id=deployment_id)
        topologies = await installation.rows(tables.deployment_topology, deployment_id=deployment_id)
        policies = await installation.rows(tables.cilium_network_policies, deployment_id=deployment_id)
        steps = await installation.rows(tables.deployment_steps, deployment_id=deployment_id)
        operations = await installation.rows(tables.hydra_operations, deployment_id=deployment_id)
        attempts = await installation.rows(tables.hydra_deployment_attempts, deployment_id=deployment_id)
        builds = await installation.rows(tables.hydra_builds, deployment_id=deployment_id)
        routes = await installation.routes(order.world)
        return {
            "deployment": (deployment["status"], deployment["desired_state"]),
            "steps": sorted((row["step"], row["error"], row["ended_at"] is not None) for row in steps),
            "topologies": sorted((row["region_id"], row["desired_status"]) for row in topologies),
            "policies": len(policies),
            "routes": len(routes),
            "owners": set(routes.values()) <= {deployment_id},
            "live": await installation.live(order.world) == deployment_id,
            "operations": [row["state"] for row in operations],
            "attempts": [(row["attempt"], row["state"]) for row in attempts],
            "builds": [row["state"] for row in builds],
            "switches": len(await installation.rows(tables.hydra_traffic_switches, deployment_id=deployment_id)),
        }


@asynccontextmanager
async def outage_site(
    folder: Path, servers: Servers, deploy: Mapping[str, str] | None = None
) -> AsyncIterator[OutageSite]:
    """Run an installation in a folder, that builds at Depot and reports to GitHub, with all of that behind gates."""
    ports = StackPorts.of(folder)
    ports.keep(folder)  # the gates have to know them before the stack is made
    dsn = await servers.mariadb.create_database()
    async with AsyncExitStack() as stack:
        github = await stack.enter_async_context(FakeGitHub())
        depot = await stack.enter_async_context(FakeDepot())
        daemon = await stack.enter_async_context(FakeBuildKit("mtls"))
        behind = {
            "database": servers.mariadb.port,
            "clickhouse": servers.clickhouse.port,
            "github": urlsplit(github.url).port or 0,
            "depot": urlsplit(depot.url).port or 0,
            "builder": daemon.front.port,
            "registry": servers.registry.port,
            "ingress": ports.ingress,
            "admin": ports.admin,
            "worker": ports.http,
        }
        gates = {part: await stack.enter_async_context(Gate(port)) for part, port in behind.items()}
        depot.token = servers.registry.account.password
        depot.machine = _machine(daemon, gates["builder"])
        environ = _environ(gates, github, servers)
        environ["HYDRA_DATABASE__PRIMARY"] = dsn.replace(f":{servers.mariadb.port})", f":{gates['database'].port})")
        options = stack_options(folder, dsn, {**_PATIENCE, **(deploy or {})}, environ=environ)
        installation = await stack.enter_async_context(Installation(LocalStack(folder, options)))
        yield OutageSite(installation, github, daemon, gates)


def _machine(daemon: FakeBuildKit, gate: Gate) -> FakeMachine:
    assert daemon.tls is not None
    pems = (pem.decode() for pem in (daemon.tls.ca, daemon.tls.cert, daemon.tls.key))
    return FakeMachine(f"127.0.0.1:{gate.port}", SERVER_NAME, *pems)


def _environ(gates: Mapping[str, Gate], github: FakeGitHub, servers: Servers) -> dict[str, str]:
    """Say to the worker that everything is at its gate."""

    def at(part: str) -> str:
        return f"http://127.0.0.1:{gates[part].port}"

    return {
        "HYDRA_CLICKHOUSE__URL": str(URL(servers.clickhouse.url).with_port(gates["clickhouse"].port)),
        "HYDRA_RESTATE__INGRESS_URL": at("ingress"),
        "HYDRA_RESTATE__ADMIN_URL": at("admin"),
        "HYDRA_RESTATE__REGISTER_AS": at("worker"),
        "HYDRA_GITHUB__APP_ID": str(github.app.app_id),
        "HYDRA_GITHUB__PRIVATE_KEY_PEM": github.app.private_key_pem,
        "HYDRA_GITHUB__API_URL": at("github"),
        "HYDRA_DEPOT__API_URL": at("depot"),
        "HYDRA_REGISTRY__URL": f"127.0.0.1:{gates['registry'].port}",
        "HYDRA_REGISTRY__USERNAME": servers.registry.account.username,
        "HYDRA_REGISTRY__PASSWORD": servers.registry.account.password,
        "HYDRA_BUILD__REGISTRY_INSECURE": "true",
        "HYDRA_BUILD__LEASE": "3s",
    }
