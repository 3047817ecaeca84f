"""Fetching what apps publish, as the settings allow it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.config import Settings
from service.openapi.fetch import Fetcher, FetchOptions


@asynccontextmanager
async def open_documents(settings: Settings) -> AsyncIterator[Fetcher]:
    """Open the fetcher of OpenAPI documents."""
    fetcher = Fetcher(FetchOptions(allowed_networks=settings.openapi.allowed_networks))
    try:
        yield fetcher
    finally:
        await fetcher.close()
