"""`hydra-deploy migrate`: create our tables, and on an empty database the reference's too."""

import asyncio

from service.app import open_database
from service.cli.options import Config, settings_from
from service.config import Settings
from service.database.migrations import MigrationReport
from service.database.migrations import migrate as run_migrations


def migrate(config: Config = None) -> None:
    """Create what the database lacks. Tables of the reference are never altered."""
    report = asyncio.run(_migrate(settings_from(config)))
    print(report)


async def _migrate(settings: Settings) -> MigrationReport:
    async with open_database(settings) as database:
        await database.wait_until_reachable()
        return await run_migrations(database)
