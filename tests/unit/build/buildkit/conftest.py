from collections.abc import AsyncIterator

import pytest

from service.build.buildkit import Address, BuildKit, connect
from tests.servers.fake_buildkit import FakeBuildKit
from tests.unit.build.buildkit.orders import QUICK


@pytest.fixture
async def daemon() -> AsyncIterator[FakeBuildKit]:
    async with FakeBuildKit() as running:
        yield running


@pytest.fixture
async def client(daemon: FakeBuildKit) -> AsyncIterator[BuildKit]:
    async with connect(Address.parse(daemon.address), timeouts=QUICK) as connected:
        yield connected
