"""The database as the rest of the service sees it: transactions that are bounded and retried, on MySQL and SQLite."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import timedelta
from typing import Self, TypeVar

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database.dsn import Dialect, Dsn
from service.database.failures import is_transient, unavailable
from service.database.pools import READS, WRITES, create_pool
from service.errors import Transient

DEFAULT_BOUND = timedelta(seconds=30)
_PING_BOUND = timedelta(seconds=5)  # this and the waits: 03 · 2.0
_RETRY_WAITS_S = (0.05, 0.1)
_START_WAITS_S = (1.0, 2.0, 3.0, 4.0)

T = TypeVar("T")


class Database:
    """A pool of connections to one database, the primary or the replica. It belongs to one event loop."""

    def __init__(self, dsn: Dsn, *, bound: timedelta = DEFAULT_BOUND) -> None:
        """Create the pool without connecting; a transaction that takes longer than `bound` is ended."""
        self._dialect = dsn.dialect
        self._bound = bound
        pool = create_pool(dsn)
        self._reads = pool.execution_options(**READS)
        self._writes = pool.execution_options(**WRITES)
        # SQLite has one writer at a time. In line here they follow each other at once; in its own line they
        # would sleep and look again.
        self._turn: AbstractAsyncContextManager[object] = asyncio.Lock() if dsn.dialect == "sqlite" else nullcontext()

    @classmethod
    async def open(cls, dsn: Dsn, *, bound: timedelta = DEFAULT_BOUND) -> Self:
        """Create the pool and wait until the database answers. Raises as `wait_until_reachable`."""
        database = cls(dsn, bound=bound)
        try:
            # A server may still be starting; a file that cannot be opened now will not open later.
            await database.wait_until_reachable(_START_WAITS_S if dsn.dialect == "mysql" else ())
        except BaseException:
            await database.close()
            raise
        return database

    @property
    def dialect(self) -> Dialect:
        return self._dialect

    async def transact(self, work: Callable[[AsyncConnection], Awaitable[T]], *, bound: timedelta | None = None) -> T:
        """Run `work` in one transaction and commit it; what it raises rolls back.

        Trouble that passes is retried, three times in all, with the whole of `work`. So `work` may run again after
        a commit whose acknowledgement was lost: it has to find its own rows and come to the same result. It
        does nothing but database work: nobody else can write to SQLite meanwhile.
        Raises Transient when the trouble stays or the bound is reached.
        """

        async def attempt() -> T:
            async with self._turn, self._writes.connect() as connection, connection.begin():
                return await work(connection)

        return await _retried(attempt, bound or self._bound)

    async def read(self, work: Callable[[AsyncConnection], Awaitable[T]], *, bound: timedelta | None = None) -> T:
        """Run `work`, which only reads, as `transact` does. On SQLite all it reads is of one moment."""

        async def attempt() -> T:
            async with self._reads.connect() as connection:
                return await work(connection)

        return await _retried(attempt, bound or self._bound)

    async def ping(self) -> None:
        """Ask the database for an answer, once, for 5 s. Raises Transient."""
        try:
            async with asyncio.timeout(_PING_BOUND.total_seconds()), self._reads.connect() as connection:
                await connection.execute(text("SELECT 1"))
        except (DBAPIError, OSError, EOFError) as error:
            failure = unavailable(error)
        else:
            return
        raise failure

    async def wait_until_reachable(self, waits_s: Sequence[float] = _START_WAITS_S) -> None:
        """Ping until the database answers, with these waits between tries. Raises Transient after the last."""
        for wait_s in waits_s:
            try:
                return await self.ping()
            except Transient:
                await asyncio.sleep(wait_s)
        return await self.ping()

    async def close(self) -> None:
        """Close the connections that nobody uses; the others close when they come back."""
        await self._writes.dispose()


async def _retried(attempt: Callable[[], Awaitable[T]], bound: timedelta) -> T:
    try:
        async with asyncio.timeout(bound.total_seconds()):
            for wait_s in _RETRY_WAITS_S:
                try:
                    return await _cancellable(attempt)
                except Exception as error:
                    if not is_transient(error):
                        raise
                await asyncio.sleep(wait_s)
            return await _cancellable(attempt)
    except Exception as error:
        if not is_transient(error):
            raise
        failure = unavailable(error)
    # Outside of the handler, so that the cause, which may quote SQL and addresses, is not chained to it.
    raise failure


async def _cancellable(attempt: Callable[[], Awaitable[T]]) -> T:
    """Await an attempt, and let a cancellation through that was lost on its way through the driver.

    One is answered with an error that looks like a lost connection, another is forgotten while a connection goes
    back to the pool: a task that was told to end would go on.
    """
    before = _cancellations()
    try:
        result = await attempt()
    except Exception:
        if _cancellations() > before:
            raise asyncio.CancelledError from None
        raise
    if _cancellations() > before:
        raise asyncio.CancelledError
    return result


def _cancellations() -> int:
    task = asyncio.current_task()
    return task.cancelling() if task else 0
