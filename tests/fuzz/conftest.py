from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import pytest

from tests.fuzz.fuzzer import Fuzzer
from tests.fuzz.watch import Watch
from tests.installation import Installation


@pytest.fixture
def watch(installation: Installation) -> Watch:
    return Watch(installation)


@pytest.fixture
async def fuzzer(installation: Installation, watch: Watch) -> Fuzzer:
    return Fuzzer(installation, watch)


@pytest.fixture
async def live(installation: Installation) -> str:
    """Deploy something that bad input may be about."""
    return await installation.deployed(await installation.world())


@pytest.fixture
async def channel(installation: Installation) -> AsyncIterator[Any]:
    """Connect as a client that holds itself to none of the server's limits."""
    options = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(installation.stack.grpc_address, options=options) as channel:
        yield channel
