"""One round of the reconciler: how it looks, and what its parts share."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

from service.clock import now_ms
from service.domain.reconciliation import Finding, Kind
from service.durable.journal import Budget, Journal
from service.errors import Cancelled, HydraError
from service.workflow.runtime import Runtime

T = TypeVar("T")

MOST = 200  # of a kind in one round: its journal stays small
_LOOK = Budget(max_duration=timedelta(seconds=30))  # the next round looks again, and waits for this one to end


@dataclass(frozen=True)
class Round:
    """`findings` are gathered by all parts, in the order in which they are found."""

    journal: Journal
    runtime: Runtime
    dry_run: bool
    findings: list[Finding] = field(default_factory=list)

    async def look(self, name: str, result: type[T], action: Callable[[], Awaitable[T]]) -> T:
        """Journal a look at things as a step, and return its value, of type `result`. Raises HydraError."""
        return await self.journal.step(name, result, action, _LOOK)

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

    def found(self, finding: Finding) -> bool:
        """Take down a finding; tell whether it is to be settled now."""
        self.findings.append(finding)
        return finding.curable and not self.dry_run
