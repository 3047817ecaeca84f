from collections.abc import AsyncIterator

import pytest

from service.dev.stack import LocalStack
from tests.installation import Installation, stack_options
from tests.integration.door.callers import DEPLOYER, LATE, OPERATOR, READER, tables
from tests.integration.door.doors import Door, Pem, beside
from tests.servers.certificates import Authority


@pytest.fixture(scope="session")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    """Run an installation whose own gRPC server is open, for doors to be put before it."""
    folder = tmp_path_factory.mktemp("house")
    async with Installation(LocalStack(folder, stack_options(folder, ""))) as running:
        yield running


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="session")
async def locked(house: Installation, authority: Authority) -> AsyncIterator[Door]:
    """Put a door before the house that wants TLS, and a token for everything."""
    keys = Pem(house.stack.folder / "locked", authority).keys
    table = keys + beside() + tables((DEPLOYER, OPERATOR, READER, LATE))
    async with Door(house.stack, "locked", table) as door:
        yield door
