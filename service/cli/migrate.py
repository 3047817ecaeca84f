"""`hydra-deploy migrate`: create our tables, and on an empty database the reference's too."""

from collections.abc import Sequence
from typing import Annotated

import typer

from service.app.database import open_database
from service.cli import interrupt, terminal
from service.cli.options import Config, settings_from
from service.config import Settings
from service.database.migrations import MigrationReport, raise_versions
from service.database.migrations import migrate as run_migrations
from service.database.versions import Raised

Restored = Annotated[
    bool,
    typer.Option(
        "--restored",
        help="The database was restored from a backup: number all that regional agents follow anew, above what they "
        "have seen. Without it they hear neither of new deploys nor of what is there again. Stop all workers before.",
    ),
]


def migrate(*, config: Config = None, restored: Restored = False) -> None:
    """Create what the database lacks. Tables of the reference are never altered; it may run again at any time.

    With --restored also number what regional agents follow anew: after each restore, while no worker runs.
    """
    report, raised = interrupt.run(_migrate(settings_from(config), restored=restored))
    for line in lines(report):
        print(line)
    if restored:
        for line in raised_lines(raised):
            print(line)


def lines(report: MigrationReport) -> list[str]:
    """Say what was done."""
    said = []
    if report.reference_tables:
        said.append(f"created {terminal.counted(len(report.reference_tables), 'table')} of the reference")
    if report.versions:
        said.append(f"brought our own tables to version {max(report.versions)}")
    return said or ["nothing to do: the database has all that the service needs"]


def raised_lines(raised: Sequence[Raised]) -> list[str]:
    """Say which counters were raised."""
    if not raised:
        return ["no region has a counter yet: nothing was raised"]
    return [f"raised the versions of the region {each.region}: from {each.before} to {each.after}" for each in raised]


async def _migrate(settings: Settings, *, restored: bool) -> tuple[MigrationReport, list[Raised]]:
    async with open_database(settings) as database:
        report = await run_migrations(database)
        return report, await raise_versions(database) if restored else []
