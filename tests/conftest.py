import os
from collections.abc import AsyncIterator, Generator
from typing import Any

import pytest
from hypothesis import settings

from service.analytics.dsn import parse as parse_clickhouse
from service.analytics.tables import create_tables
from service.dev import ports
from service.dev.clickhouse import ClickHouseServer
from service.dev.stack import LocalStack
from tests.installation import Installation, stack_options
from tests.invariants import holds
from tests.servers.mariadb import MariaDB, MariaDBMissing

# What runs for all tests of a session, and takes its time to start: fixture → the group of those that share it.
_SHARED = {
    "installation": "deploys",
    "site": "builds",
    "depot_site": "builds",
    "reporting": "reports",
    **dict.fromkeys(("reconciled", "diligent", "unhurried"), "reconciling"),
}

_PASSED = pytest.StashKey[bool]()

# How long an example takes says how busy the machine is.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_configure() -> None:
    """Give every process of a parallel run ports of its own: two would sometimes find the same one free."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    ports.keep_to(int(worker), int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests that share an installation in one process, which then starts it once for each database."""
    for item in items:
        group = {_SHARED[name] for name in getattr(item, "fixturenames", ()) if name in _SHARED}
        callspec = getattr(item, "callspec", None)
        if group and callspec is not None and "server" in callspec.params:
            item.add_marker(pytest.mark.xdist_group(f"{min(group)}-{callspec.params.get('server')}"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:  # noqa: ARG001 - pytest's names
    """Note whether a test has passed, for its fixtures."""
    report = yield
    if report.when == "call":
        item.stash[_PASSED] = report.passed
    return report


@pytest.fixture
async def in_order(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """Check, at the end of a test that passed, that all holds of the worlds that it made.

    A test that leaves one out of order on purpose says why: `@pytest.mark.out_of_order("why")`.
    """
    Installation.made.clear()
    yield
    if request.node.stash.get(_PASSED, False) and request.node.get_closest_marker("out_of_order") is None:
        for installation, world in Installation.made:
            await holds(installation, world)


@pytest.fixture(scope="session")
async def mariadb(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[MariaDB]:
    """Run one MariaDB server for all tests. Where none can be had they are skipped, but never in CI."""
    try:
        server = MariaDB(tmp_path_factory.mktemp("mariadb"))
        await server.start()
    except MariaDBMissing as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))
    yield server
    await server.stop()


@pytest.fixture(scope="session", params=["sqlite", "mariadb"])
def server(request: pytest.FixtureRequest) -> MariaDB | None:
    """Name the database of a test: a MariaDB server, or None for SQLite."""
    return request.getfixturevalue("mariadb") if request.param == "mariadb" else None


@pytest.fixture(scope="session")
async def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ClickHouseServer]:
    """Run one ClickHouse for all tests, with its tables; they keep apart by workspaces of their own."""
    async with ClickHouseServer(tmp_path_factory.mktemp("clickhouse")) as server:
        await create_tables(parse_clickhouse(server.url))
        yield server


@pytest.fixture(scope="session")
async def installation(server: MariaDB | None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    """Run an installation on each database; tests share it and keep apart by workspaces of their own."""
    folder = tmp_path_factory.mktemp("installation")
    dsn = await server.create_database() if server else ""
    async with Installation(LocalStack(folder, stack_options(folder, dsn))) as running:
        yield running
