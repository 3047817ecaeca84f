"""What a database says of itself: for who looks after an installation."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database.engine import Database
from service.database.failures import code
from service.database.tables import hydra_schema
from service.errors import Transient

_BOUND = timedelta(seconds=4)
_NO_VERSION = -1  # that of no row

# MySQL's and MariaDB's error numbers, and SQLite's primary code (https://sqlite.org/rescode.html).
_READ_ONLY = {"mysql": frozenset({1290, 1792, 1836}), "sqlite": frozenset({8})}
_NOT_ALLOWED = frozenset({1142, 1143, 1044})
_NOT_PRIVILEGED = 1227

# Times in innodb_trx are the system's, whatever the session's time zone is.
_OLD_TRANSACTIONS = text(
    """
    SELECT trx_mysql_thread_id AS connection_id, p.user AS user, p.host AS host,
           TIMESTAMPDIFF(SECOND, trx_started, CONVERT_TZ(UTC_TIMESTAMP(), '+00:00', 'SYSTEM')) AS seconds
    FROM information_schema.innodb_trx JOIN information_schema.processlist p ON p.id = trx_mysql_thread_id
    WHERE p.db = DATABASE() AND trx_rows_locked + trx_rows_modified > 0 HAVING seconds >= :seconds
    ORDER BY seconds DESC, connection_id
    """
)


@dataclass(frozen=True)
class OldTransaction:
    """A transaction that holds rows; `host` is where its client is, as the server knows it."""

    connection_id: int
    user: str
    host: str
    age: timedelta


async def version(db: Database) -> str:
    """Return the server's version, with its name. Raises Transient."""

    async def work(connection: AsyncConnection) -> str:
        if db.dialect == "sqlite":
            return f"SQLite {await connection.scalar(text('SELECT sqlite_version()'))}"
        said = str(await connection.scalar(text("SELECT VERSION()")))
        return said.replace("-MariaDB", " (MariaDB)") if "MariaDB" in said else f"MySQL {said}"

    return await db.read(work, bound=_BOUND)


async def refusal_of_writes(db: Database) -> str:
    """Say why the database takes no writes of ours, empty where it does: it is asked to change a row that is not there.

    Raises Transient.
    """

    async def work(connection: AsyncConnection) -> None:
        nothing = hydra_schema.c.version == _NO_VERSION
        await connection.execute(hydra_schema.update().where(nothing).values(applied_at=hydra_schema.c.applied_at))

    try:
        await db.transact(work, bound=_BOUND)
    except DBAPIError as error:
        number = code(error) or 0
    except Transient as error:
        number = int(error.facts.get("code", "0"))
        if number not in _READ_ONLY[db.dialect]:
            raise
    else:
        return ""
    if (number & 0xFF if db.dialect == "sqlite" else number) in _READ_ONLY[db.dialect]:
        return "it is read-only"
    return "this user may not write" if number in _NOT_ALLOWED else f"it answers a write with error {number}"


async def is_read_only(db: Database) -> bool:
    """Tell whether the server is set to take no writes, but of those who are above that. Raises Transient."""
    if db.dialect == "sqlite":
        return False

    async def work(connection: AsyncConnection) -> bool:
        return str(await connection.scalar(text("SELECT @@global.read_only"))).upper() not in ("0", "OFF")

    return await db.read(work, bound=_BOUND)


async def isolation(db: Database) -> str:
    """Read the isolation level of our transactions, in the server's words; empty for SQLite. Raises Transient."""
    if db.dialect == "sqlite":
        return ""
    # MySQL has the first name, MariaDB before 11.1 the second.
    query = text("SHOW SESSION VARIABLES WHERE Variable_name IN ('transaction_isolation', 'tx_isolation')")

    async def work(connection: AsyncConnection) -> str:
        row = (await connection.execute(query)).first()
        return str(row[1]) if row else ""

    return await db.read(work, bound=_BOUND)


async def clock_ms(db: Database) -> int | None:
    """Read the server's clock, Unix milliseconds; None for SQLite, whose clock is this machine's. Raises Transient."""
    if db.dialect == "sqlite":
        return None

    async def work(connection: AsyncConnection) -> int:
        return int((await connection.scalar(text("SELECT UNIX_TIMESTAMP(NOW(3))")) or 0) * 1000)

    return await db.read(work, bound=_BOUND)


async def old_transactions(db: Database, age: timedelta) -> list[OldTransaction] | None:
    """List the transactions in this schema that are this old and hold rows, the oldest first.

    None where this user may not look (PROCESS). Empty for SQLite, which has no such list. Raises Transient.
    """
    if db.dialect == "sqlite":
        return []

    async def work(connection: AsyncConnection) -> list[OldTransaction]:
        rows = await connection.execute(_OLD_TRANSACTIONS, {"seconds": age.total_seconds()})
        return [OldTransaction(row.connection_id, row.user, row.host, timedelta(seconds=row.seconds)) for row in rows]

    try:
        return await db.read(work, bound=_BOUND)
    except DBAPIError as error:
        if code(error) != _NOT_PRIVILEGED:
            raise
        return None
