"""Steps that stamp versions, and where a region's counter starts the first time that the region is used.

An earlier worker kept the counters in Restate state: a counter of ours starts above that one.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar, cast

from hydra.v1 import versioning_pb2

from service.database import versions
from service.database.engine import Database
from service.durable.binding import Address, call
from service.durable.journal import Budget, Journal
from service.errors import FailedPrecondition

T = TypeVar("T")


@dataclass(frozen=True)
class Tried(Generic[T]):
    """What a step came to: a value, or the regions whose counters must be started first."""

    value: T | None = None
    uncounted: list[str] = field(default_factory=list)


class Counters:
    """The steps of a journal that stamp versions."""

    def __init__(self, journal: Journal, database: Database) -> None:
        self._journal = journal
        self._database = database

    async def step(
        self, name: str, result: type[T], action: Callable[[], Awaitable[T]], budget: Budget | None = None
    ) -> T:
        """Journal an action that stamps versions as a step, and return its value, of type `result`.

        Where the action meets a region without a counter, the counter is started and the step done again: what the
        action has committed by then must stand a repeat. Raises as `Journal.step`.
        """

        async def attempt() -> Tried[T]:
            try:
                return Tried(await action())
            except versions.Uncounted as missing:
                return Tried(uncounted=missing.region_ids)

        started: set[str] = set()
        while True:
            tried = await self._journal.step(name, cast("type[Tried[T]]", Tried[result]), attempt, budget)  # type: ignore[valid-type] # a type at run time
            if not tried.uncounted:
                return tried.value  # type: ignore[return-value] # None only where T allows it
            if started.issuperset(tried.uncounted):
                raise FailedPrecondition(
                    f"the regions {tried.uncounted} differ from others in case or accents alone: rename them",
                    reason="REGIONS_ALIKE",
                )
            started.update(tried.uncounted)
            await self._start(tried.uncounted, budget)

    async def _start(self, region_ids: list[str], budget: Budget | None) -> None:
        """Start the counters of regions above what VersioningService knows of each; all are asked at once."""
        request = versioning_pb2.GetVersionRequest()
        calls = {
            region_id: call(self._journal.ctx, Address("hydra.v1.VersioningService", "GetVersion", region_id), request)
            for region_id in region_ids
        }
        floors = {region_id: (await asked.response()).version for region_id, asked in calls.items()}
        await self._journal.step(
            "start counters",
            type(None),
            lambda: self._database.transact(lambda conn: versions.start_counters(conn, floors)),
            budget,
        )
