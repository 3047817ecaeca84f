"""The database, as the settings name it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.config import Settings
from service.database.dsn import parse as parse_dsn
from service.database.engine import Database


@asynccontextmanager
async def open_database(settings: Settings) -> AsyncIterator[Database]:
    """Connect to the primary database and close it afterwards. Raises Transient where it cannot be reached."""
    database = await Database.open(parse_dsn(settings.database.primary.get_secret_value()))
    try:
        yield database
    finally:
        await database.close()
