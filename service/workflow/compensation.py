"""Undoing what a failed workflow did, newest first."""

from collections.abc import Awaitable, Callable

import structlog

from service.durable.journal import Journal
from service.errors import Cancelled, HydraError

log = structlog.get_logger(__name__)

Undo = Callable[[HydraError], Awaitable[None]]

# A further cancellation interrupts the undo that is being awaited; this many are survived per undo.
_CANCELLATIONS_SURVIVED = 8


class CompensationFailed(HydraError):
    """Some undo steps failed for good; `failures` names each with its error, in the order in which they ran."""

    def __init__(self, failures: list[tuple[str, HydraError]]) -> None:
        self.failures = failures
        parts = "; ".join(f"{name}: {error.message}" for name, error in failures)
        super().__init__(f"{len(failures)} undo steps failed: {parts}", reason="COMPENSATION_FAILED")


class Compensation:
    """A stack of undo steps, each added before the act that it undoes.

    An undo is given the error that made it necessary. It must be repeatable, and must do nothing where its
    act never happened.
    """

    def __init__(self) -> None:
        self._undos: list[tuple[str, Undo]] = []

    def add(self, name: str, undo: Undo) -> None:
        """Register an undo; call this before the act itself."""
        self._undos.append((name, undo))

    async def execute(self, cause: HydraError) -> None:
        """Run every undo, newest first, even if one fails; may be called again and runs all again.

        Raises CompensationFailed with all failures joined. Only errors of ours count as a failed undo: a bug
        or a suspension passes through, so that Restate retries.
        """
        failures: list[tuple[str, HydraError]] = []
        for name, undo in reversed(self._undos):
            try:
                await _uncancelled(undo, cause)
            except HydraError as error:
                failures.append((name, error))
        if failures:
            raise CompensationFailed(failures)


async def _uncancelled(undo: Undo, cause: HydraError) -> None:
    for _ in range(_CANCELLATIONS_SURVIVED):
        try:
            return await undo(cause)
        except Cancelled:
            continue
    return await undo(cause)


async def unwind(journal: Journal, undo: Compensation, cause: HydraError) -> None:
    """End a failed workflow: stop what still runs, then undo; the caller raises `cause` again.

    An undo that failed for good is logged for the operator, who is the only one that can help.
    """
    await journal.quiesce()
    try:
        await undo.execute(cause)
    except CompensationFailed as error:
        log.exception("not fully undone", operation=journal.operation_id, detail=error.message)
