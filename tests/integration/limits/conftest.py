from collections.abc import AsyncIterator

import pytest

from service.dev.stack import LocalStack
from tests.installation import Installation, stack_options
from tests.integration.limits.bounded import BoundedServer


@pytest.fixture(scope="session")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    """Run an installation for servers with limits of their own; SQLite will do, they do not differ in that."""
    folder = tmp_path_factory.mktemp("house")
    async with Installation(LocalStack(folder, stack_options(folder, ""))) as running:
        yield running


@pytest.fixture(scope="session")
async def small(house: Installation) -> AsyncIterator[BoundedServer]:
    """Run a server that takes little of everything."""
    keys = {"max_message_bytes": 64 * 1024, "max_waiting_calls": 3, "max_concurrent_streams": 4}
    async with BoundedServer(house.stack, keys) as server:
        yield server


@pytest.fixture(scope="session")
async def impatient(house: Installation) -> AsyncIterator[BoundedServer]:
    """Run a server that soon asks whether its clients still live."""
    keys = {
        "max_waiting_calls": 2,
        "max_concurrent_streams": 2000,
        "keepalive_interval": "1s",
        "keepalive_timeout": "2s",
        "min_client_ping_interval": "100ms",
    }
    async with BoundedServer(house.stack, keys) as server:
        yield server
