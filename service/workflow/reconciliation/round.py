"""One round of the reconciler: how it looks, how it settles, and what its parts share."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Generic, TypeVar

import structlog

from service.clock import now_ms
from service.counters import Counters
from service.domain.reconciliation import Finding, Kind
from service.durable.journal import Budget, Journal
from service.errors import Cancelled, HydraError
from service.workflow.phases import finalize
from service.workflow.runtime import Runtime

log = structlog.get_logger(__name__)

T = TypeVar("T")

MOST = 200  # rows of a page: what one step keeps in the journal stays small
_BRIEF = Budget(max_duration=timedelta(seconds=30))  # the next round does it again, and waits for this one to end


@dataclass(frozen=True)
class Page(Generic[T]):
    """What was found among `MOST` rows, and the key of the last of them; empty where there are no more."""

    found: list[T]
    last: str = ""


@dataclass(frozen=True)
class Round:
    """`findings` are gathered by all parts, in the order in which they are found; `resting` is what was put to rest."""

    journal: Journal
    runtime: Runtime
    dry_run: bool
    findings: list[Finding] = field(default_factory=list)
    resting: set[str] = field(default_factory=set)

    async def look(self, name: str, result: type[T], action: Callable[[], Awaitable[T]]) -> T:
        """Journal a look at things as a step, and return its value, of type `result`. Raises HydraError."""
        return await self.journal.step(name, result, action, _BRIEF)

    async def pages(self, name: str, result: type[T], page: Callable[[str], Awaitable[Page[T]]]) -> AsyncIterator[T]:
        """Give what is found, page by page to the end, each a journaled look; `page` is told after which key."""
        after = ""
        while True:
            read = await self.look(name, Page[result], lambda after=after: page(after))  # type: ignore[valid-type,misc]
            for found in read.found:
                yield found
            if not read.last:
                return
            after = read.last

    def quiet_since(self) -> int:
        """Return the time (Unix ms) before which a thing must have been left alone to count; for use in steps."""
        return now_ms() - int(self.runtime.options.reconcile_grace.total_seconds() * 1000)

    async def part(self, name: str, look_and_settle: Callable[["Round"], Awaitable[None]]) -> None:
        """Do one part; one that cannot be done is a finding of its own, and the others go on."""
        try:
            await look_and_settle(self)
        except Cancelled:
            raise
        except HydraError as error:
            self.findings.append(Finding(Kind.NOT_LOOKED_AT, name, error.message, curable=False))

    async def settle(self, finding: Finding, cure: Callable[[], Awaitable[None]]) -> None:
        """Take down a finding and cure it, if that is wanted; one that cannot be cured is left, and others go on."""
        if not finding.curable or self.dry_run:
            self.findings.append(finding)
            return
        try:
            await cure()
        except Cancelled:
            raise
        except HydraError as error:
            log.warning("a finding could not be settled", kind=finding.kind.value, subject=finding.subject)
            finding = replace(finding, curable=False, message=f"{finding.message}; that failed: {error.message}")
        self.findings.append(finding)

    def let_rest(self, deployment_id: str, after_ms: int) -> None:
        """Let a deployment run on for a while and then rest. The message is on its way before one can see it there."""
        finalize.schedule_standby(self.journal, [deployment_id], after_ms)
        self.resting.add(deployment_id)

    async def step(self, name: str, result: type[T], action: Callable[[], Awaitable[T]]) -> T:
        """Journal a part of a cure as a step, which may stamp versions, and return its value, of type `result`."""
        return await Counters(self.journal, self.runtime.database).step(name, result, action, _BRIEF)
