import os
from collections.abc import AsyncIterator

import pytest

from service.dev.buildkit import BuildKitServer, ServerTls
from service.dev.busybox import find_busybox
from service.dev.clickhouse import ClickHouseServer
from service.dev.git_server import GitServer
from service.dev.programs import ProgramMissing
from service.dev.registry import Account, RegistryServer
from tests.build_site import BuildSite, Servers, build_site
from tests.servers.certificates import Authority
from tests.servers.depot import FakeDepot, FakeMachine
from tests.servers.mariadb import MariaDB


@pytest.fixture(scope="session")
async def git_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GitServer]:
    """Run one git server for all tests; they keep apart by repositories of their own, and set what it `allows`."""
    async with GitServer(tmp_path_factory.mktemp("git")) as server:
        yield server


@pytest.fixture(scope="session")
async def registry(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RegistryServer]:
    """Run one registry for all tests; they keep apart by names of their own. Skips as `buildkitd` does."""
    try:
        server = RegistryServer(tmp_path_factory.mktemp("registry"), Account("x-token", "p:ss wörd"))
    except ProgramMissing as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))
    async with server:
        yield server


@pytest.fixture(scope="session")
async def buildkitd(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[BuildKitServer]:
    """Run one BuildKit for all tests, for images with Busybox. Where none can be had skip them, but never in CI."""
    try:
        find_busybox()
        server = BuildKitServer(tmp_path_factory.mktemp("buildkit"))
    except ProgramMissing as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))
    async with server:
        yield server


@pytest.fixture(scope="session")
async def fork_buildkitd(
    buildkitd: BuildKitServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[BuildKitServer]:
    """Run another BuildKit, which has nothing of the first one's in its cache."""
    async with BuildKitServer(tmp_path_factory.mktemp(f"fork-{buildkitd.folder.name}")) as server:
        yield server


@pytest.fixture(scope="session")
def servers(registry: RegistryServer, clickhouse: ClickHouseServer) -> Servers:
    """Gather what every installation that builds needs beside its builder."""
    return Servers(registry, clickhouse)


@pytest.fixture(scope="session")
async def site(
    server: MariaDB | None,
    servers: Servers,
    buildkitd: BuildKitServer,
    fork_buildkitd: BuildKitServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[BuildSite]:
    """Run an installation that builds on the one BuildKit, and forks on the other, on each database."""
    dsn = await server.create_database() if server else ""
    environ = {"HYDRA_BUILD__ADDRESS": buildkitd.address, "HYDRA_BUILD__FORK_ADDRESS": fork_buildkitd.address}
    async with build_site(tmp_path_factory.mktemp("site"), dsn, servers, environ) as running:
        yield running


@pytest.fixture(scope="session")
async def depot(registry: RegistryServer) -> AsyncIterator[FakeDepot]:
    """Run one Depot for all tests. Its token is the registry's password, as there; tests give it a machine."""
    async with FakeDepot() as running:
        running.token = registry.account.password
        yield running


@pytest.fixture(scope="session")
async def depot_site(
    server: MariaDB | None, servers: Servers, depot: FakeDepot, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[BuildSite]:
    """Run an installation that builds at Depot, on each database."""
    dsn = await server.create_database() if server else ""
    environ = {"HYDRA_DEPOT__API_URL": depot.url}
    async with build_site(tmp_path_factory.mktemp("depot_site"), dsn, servers, environ) as running:
        yield running


@pytest.fixture(scope="session")
async def depot_machine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[FakeMachine]:
    """Run one BuildKit as Depot's machines are: over TCP, for who has a certificate. Skips as `buildkitd` does."""
    authority = Authority()
    own, client = authority.server("machine.test"), authority.client()
    try:
        find_busybox()
        tls = ServerTls(authority.cert, own.cert, own.key)
        server = BuildKitServer(tmp_path_factory.mktemp("depot_machine"), tls)
    except ProgramMissing as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))
    async with server:
        endpoint = server.address.removeprefix("tcp://")
        pems = (pem.decode() for pem in (authority.cert, client.cert, client.key))
        yield FakeMachine(endpoint, "machine.test", *pems)
