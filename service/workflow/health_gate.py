"""One poller per process for all deployments that wait to become healthy (02 · 1.5, 06 · H4).

It runs inside journaled steps and beside the journal: what it holds is gone with the process, and the
step that waits simply asks again.
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from service import background
from service.database import instances
from service.database.engine import Database
from service.domain.health import Gate, RegionObservation
from service.errors import Transient

log = structlog.get_logger(__name__)

# A look that hangs is given up for the next one, which may get another connection.
_LOOK_BOUND = timedelta(seconds=5)


@dataclass(frozen=True)
class GateTiming:
    """How often to look, and how long a region must hold still to count."""

    poll: timedelta = timedelta(milliseconds=50)
    steady: timedelta = timedelta(milliseconds=75)
    flap_steady: timedelta = timedelta(seconds=2)
    stale_steady: timedelta = timedelta(seconds=10)


@dataclass(frozen=True)
class Verdict:
    """What was seen last: `ready` when enough regions count, which look healthy, and a description by region id.

    The next wait for the same deployment is to be told `flapped_regions`: these have to hold still for longer.
    """

    ready: bool
    steady_regions: list[str]
    healthy_regions: list[str]
    seen: dict[str, str]
    flapped_regions: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Doubts:
    """What makes a region hold still for longer: that it fell back before, or shows instances of an earlier order.

    `seen_before` is the pk of the newest of those instances, 0 for none.
    """

    flapped_regions: Collection[str] = ()
    seen_before: int = 0


NO_DOUBTS = Doubts()


@dataclass(eq=False)
class _Waiter:
    deployment_id: str
    gate: Gate
    done: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class HealthGate:
    """Answers `wait` calls from one query per tick, whatever their number; idle without them."""

    def __init__(self, database: Database, timing: GateTiming) -> None:
        self._database = database
        self._timing = timing
        self._waiters: set[_Waiter] = set()
        self._poller: asyncio.Task[None] | None = None
        self.ticks = 0

    async def wait(
        self,
        deployment_id: str,
        region_ids: Sequence[str],
        required: int,
        limit: timedelta,
        doubts: Doubts = NO_DOUBTS,
    ) -> Verdict:
        """Wait until `required` regions are steadily healthy, at most for `limit`; always returns what was seen."""
        gate = Gate(
            tuple(region_ids),
            required,
            _ms(self._timing.steady),
            _ms(self._timing.flap_steady),
            doubts.flapped_regions,
            _ms(self._timing.stale_steady),
            doubts.seen_before,
        )
        waiter = _Waiter(deployment_id, gate)
        self._waiters.add(waiter)
        self._wake()
        try:
            await asyncio.wait([waiter.done], timeout=max(limit.total_seconds(), 0))
        finally:
            self._waiters.discard(waiter)
        return Verdict(
            gate.ready,
            list(gate.steady_regions),
            list(gate.healthy_regions),
            gate.descriptions(),
            list(gate.flapped_regions),
        )

    async def close(self) -> None:
        """Stop polling."""
        if self._poller is not None:
            await background.end(self._poller)

    def _wake(self) -> None:
        if self._poller is None or self._poller.done():
            self._poller = background.until_done("health-gate", self._poll, self._timing.poll)

    async def _poll(self) -> None:
        blind = False
        while self._waiters:
            try:
                await self._tick()
                blind = False
            except Transient as error:
                if not blind:  # once per outage, not once per look
                    log.warning("health gate cannot look", reason=error.reason)
                blind = True
            except Exception:
                log.exception("health gate failed to look")
            await asyncio.sleep(self._timing.poll.total_seconds())  # noqa: TID251 - the poller is not replayed

    async def _tick(self) -> None:
        self.ticks += 1
        waiters = list(self._waiters)
        wanted = {waiter.deployment_id for waiter in waiters}
        seen = await self._database.read(lambda conn: instances.observe(conn, wanted), bound=_LOOK_BOUND)
        now = int(asyncio.get_running_loop().time() * 1000)
        for waiter in waiters:
            observed: dict[str, RegionObservation] = seen.get(waiter.deployment_id, {})
            if waiter.gate.observe(now, observed) and not waiter.done.done():
                waiter.done.set_result(None)


def _ms(duration: timedelta) -> int:
    return int(duration.total_seconds() * 1000)
