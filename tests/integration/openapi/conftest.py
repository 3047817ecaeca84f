from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from service.openapi.addresses import Resolver, system_resolver
from service.openapi.fetch import Fetcher, FetchOptions
from tests.integration.openapi.expected import HERE, Opened
from tests.integration.openapi.fake_app import FakeApp


@pytest.fixture
async def app() -> AsyncIterator[FakeApp]:
    async with FakeApp() as app:
        yield app


@pytest.fixture
async def opened() -> AsyncIterator[Opened]:
    """Return what opens a fetcher, and close those it opened."""
    async with AsyncExitStack() as stack:

        def opened(options: FetchOptions = HERE, resolve: Resolver = system_resolver) -> Fetcher:
            fetcher = Fetcher(options, resolve)
            stack.push_async_callback(fetcher.close)
            return fetcher

        yield opened
