"""The database: whether it answers, has all tables, takes writes, keeps the same time, and nobody holds it up."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from service.app.doctor.checks import Examination, Finding, Part, reading
from service.clock import now_ms
from service.config import Settings
from service.database import condition, versions
from service.database.dsn import Dsn, parse
from service.database.engine import Database
from service.database.migrations import check_schema
from service.database.pools import ISOLATION, overruled
from service.errors import HydraError

PART = Part("database")

_SHOWN = 3
_OLD = timedelta(minutes=1)  # a transaction of ours ends within half of that
_WRITES_ADVICE = "point database.primary to the server that takes writes, as a user who may read and write all tables"


async def examine(settings: Settings) -> Examination:
    """Look at the primary, and at the replica if there is one."""
    dsn = parse(settings.database.primary.get_secret_value())
    if _is_missing(dsn):
        yield PART.fault("primary", f"there is no file {dsn.database}", "create it with `hydra-deploy migrate`")
        return
    database = Database(dsn)
    try:
        async for finding in _primary(database, dsn):
            yield finding
    finally:
        await database.close()
    replica = settings.database.readonly_replica.get_secret_value()
    if replica:
        async for finding in _replica(parse(replica)):
            yield finding


async def _primary(database: Database, dsn: Dsn) -> Examination:
    try:
        await database.ping()
        yield PART.ok("primary", f"{await condition.version(database)} at {place(dsn)}")
    except HydraError as error:
        yield PART.fault("primary", f"{error.message}, at {place(dsn)}", "start it, or correct database.primary")
        return
    asked_ms = now_ms()
    if (moment_ms := await condition.clock_ms(database)) is not None:
        yield PART.clock(reading(moment_ms, asked_ms))
    if faults := await check_schema(database):
        yield PART.fault("schema", listed(faults), "run `hydra-deploy migrate`")
        return
    yield PART.ok("schema", "all tables and columns are there")
    if refusal := await condition.refusal_of_writes(database):
        yield PART.fault("writes", refusal, _WRITES_ADVICE)
    elif await condition.is_read_only(database):
        yield PART.warning("writes", "the server is set to read-only, although this user may write", _WRITES_ADVICE)
    else:
        yield PART.ok("writes", "they are taken")
    if database.dialect == "mysql":
        yield _isolation(await condition.isolation(database), overruled(dsn))
    if behind := await database.read(versions.behind):
        said = f"the counters of these regions are behind versions in use: {listed(behind)}"
        yield PART.fault("versions", said, "stop all workers, and run `hydra-deploy migrate --restored`")
    else:
        yield PART.ok("versions", "the counters are above all that is in use")
    yield await transactions(database)


def _isolation(found: str, asked: Sequence[str]) -> Finding:
    if found.replace("-", " ") != ISOLATION:
        advice = f"let every session have {ISOLATION}, which was asked for: a proxy before the database may change it"
        return PART.fault("isolation", f"our transactions are {found or 'of an unknown level'}", advice)
    if asked:
        said = f"database.primary sets {', '.join(asked)}, which does not count: our transactions are {ISOLATION}"
        return PART.warning("isolation", said, "take it out of the DSN")
    return PART.ok("isolation", f"our transactions are {ISOLATION}")


async def transactions(database: Database, age: timedelta = _OLD) -> Finding:
    """Look for whoever has held rows for so long that others give up waiting."""
    old = await condition.old_transactions(database, age)
    if old is None:
        return PART.off("transactions", "only a user with the privilege PROCESS may look how old they are")
    if not old:
        return PART.ok("transactions", "none holds rows for long")
    said = [
        f"connection {each.connection_id} of {each.user} at {each.host} has held rows for {each.age.seconds} s"
        for each in old
    ]
    return PART.warning("transactions", listed(said), "deploys may wait for these rows: end it, or KILL its connection")


def _is_missing(dsn: Dsn) -> bool:
    """Tell whether a SQLite file is not there: opening it would create it."""
    return dsn.dialect == "sqlite" and not Path(dsn.database).exists()


async def _replica(dsn: Dsn) -> Examination:
    """Look whether it answers: nothing of this release reads from it."""
    database = Database(dsn)
    try:
        await database.ping()
        yield PART.ok("replica", f"it answers at {place(dsn)}; this release does not read from it")
    except HydraError as error:
        advice = "this release does not read from it: start it, or correct database.readonly_replica"
        yield PART.warning("replica", f"{error.message}, at {place(dsn)}", advice)
    finally:
        await database.close()


def place(dsn: Dsn) -> str:
    """Write where a database is, without who asks."""
    return dsn.database if dsn.dialect == "sqlite" else f"{dsn.unix_socket or f'{dsn.host}:{dsn.port}'}/{dsn.database}"


def listed(things: Sequence[str]) -> str:
    """List the first few of many things."""
    more = len(things) - _SHOWN
    return "; ".join(things[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")
