"""An installation whose worker can be cut off from its database, in the way of each database."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from service.dev.stack import LocalStack
from tests.chaos.gate import Gate, Mode
from tests.installation import Installation, stack_options
from tests.servers.mariadb import MariaDB

# Steps that give up after two seconds. What they may never do is to undo one half of an operation.
IMPATIENT = {"step_timeout": '"2s"'}
# Longer than a step is tried: where a server is away a try fails at once, and where a file is locked after 15 s.
_LOCKED_SECONDS, _AWAY_SECONDS = 20, 6


@dataclass(frozen=True)
class Cut:
    """An installation, how its worker's database is made to be away, and for how long."""

    installation: Installation
    away: Callable[[], AbstractAsyncContextManager[None]]
    seconds: int


@asynccontextmanager
async def impatient(
    server: MariaDB | None, folder: Path, deploy: Mapping[str, str] | None = None, clickhouse_url: str = ""
) -> AsyncIterator[Cut]:
    """Run an installation of impatient steps: over SQLite, or over a server that its worker sees through a gate."""
    deploy = {**IMPATIENT, **(deploy or {})}
    if server is None:
        async with Installation(LocalStack(folder, stack_options(folder, "", deploy, clickhouse_url))) as running:
            locked = partial(_locked, Path(running.stack.dsn.removeprefix("sqlite:///")))
            yield Cut(running, locked, _LOCKED_SECONDS)
        return
    dsn = await server.create_database()
    async with Gate(server.port) as gate:
        environ = {"HYDRA_DATABASE__PRIMARY": dsn.replace(f":{server.port})", f":{gate.port})")}
        options = stack_options(folder, dsn, deploy, clickhouse_url, environ)
        async with Installation(LocalStack(folder, options)) as running:
            yield Cut(running, partial(gate.outage, Mode.AWAY), _AWAY_SECONDS)


@asynccontextmanager
async def _locked(file: Path) -> AsyncIterator[None]:
    """Lock SQLite's file; in a thread, as an agent of this process may hold a lock until the loop goes on."""

    def lock() -> sqlite3.Connection:
        locker = sqlite3.connect(file, timeout=60, isolation_level=None, check_same_thread=False)
        locker.execute("BEGIN EXCLUSIVE")
        return locker

    locker = await asyncio.to_thread(lock)
    try:
        yield
    finally:
        locker.execute("ROLLBACK")
        locker.close()
