from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from service.build.depot import Depot, Timing
from tests.servers.depot import FakeDepot, FakeMachine

QUICK = timedelta(milliseconds=5)
TIMING = Timing(heartbeat_pause=QUICK, poll_floor=QUICK, retry_pause=QUICK)


@pytest.fixture
def timing() -> Timing:
    """Keep the real deadlines, but pauses that nobody waits for; a test may ask for others."""
    return TIMING


@pytest.fixture
async def fake() -> AsyncIterator[FakeDepot]:
    async with FakeDepot(FakeMachine("127.0.0.1:4321")) as fake:
        fake.add_project("unkey-p1")
        yield fake


@pytest.fixture
async def depot(fake: FakeDepot, timing: Timing) -> AsyncIterator[Depot]:
    depot = Depot(fake.url, fake.token, timing)
    yield depot
    await depot.close()


@pytest.fixture
def logs() -> Iterator[list[Any]]:
    with capture_logs() as lines:
        yield lines
