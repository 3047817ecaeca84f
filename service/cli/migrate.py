"""`hydra-deploy migrate`: create our tables, and on an empty database the reference's too."""

from service.app.database import open_database
from service.cli import interrupt, terminal
from service.cli.options import Config, settings_from
from service.config import Settings
from service.database.migrations import MigrationReport
from service.database.migrations import migrate as run_migrations


def migrate(config: Config = None) -> None:
    """Create what the database lacks. Tables of the reference are never altered; it may run again at any time."""
    for line in lines(interrupt.run(_migrate(settings_from(config)))):
        print(line)


def lines(report: MigrationReport) -> list[str]:
    """Say what was done."""
    said = []
    if report.reference_tables:
        said.append(f"created {terminal.counted(len(report.reference_tables), 'table')} of the reference")
    if report.versions:
        said.append(f"brought our own tables to version {max(report.versions)}")
    return said or ["nothing to do: the database has all that the service needs"]


async def _migrate(settings: Settings) -> MigrationReport:
    async with open_database(settings) as database:
        return await run_migrations(database)
