"""Crossing between our errors and Restate's terminal errors."""

from restate import TerminalError

from service import errors
from service.errors import Cancelled, HydraError, Internal

_CANCELLED = (409, "cancelled")


def to_terminal(error: HydraError) -> TerminalError:
    """Turn an error of ours into one that Restate does not retry; class, reason and facts travel as metadata."""
    return TerminalError(error.message, status_code=error.http_code, metadata=errors.dump(error))


def from_terminal(error: TerminalError) -> HydraError:
    """Turn what an await on the context raised into our tree.

    A handler of ours sends its class along. What Restate itself raises carries no metadata: this invocation's
    cancellation (05 · 2), a step that used up its retries, or a callee that was killed or is not ours.
    """
    ours = errors.load(error.message, error.metadata or {})
    if ours is not None:
        return ours
    if is_cancellation(error):
        return Cancelled("the operation was cancelled by an operator")
    return Internal("a step kept failing and was given up; the service's log says why", reason="STEP_GAVE_UP")


def is_cancellation(error: TerminalError) -> bool:
    """Tell whether Restate raised this because the invocation that awaited it was cancelled."""
    return not error.metadata and (error.status_code, error.message) == _CANCELLED
