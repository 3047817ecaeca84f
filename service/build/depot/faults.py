"""What can go wrong with a call to Depot, and the one place where that becomes an error of ours (04 · 7)."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

import structlog

from service.errors import FailedPrecondition, HydraError, Internal, NotFound, Transient

log = structlog.get_logger(__name__)

T = TypeVar("T")

# https://connectrpc.com/docs/protocol/#error-codes
_TRANSIENT = frozenset(
    {
        "aborted",
        "canceled",
        "data_loss",
        "deadline_exceeded",
        "internal",
        "resource_exhausted",
        "unavailable",
        "unknown",
    }
)
_FORBIDDEN = frozenset({"permission_denied", "unauthenticated"})
_WITH_OUR_TOKEN = frozenset({"CreateBuild", "CreateProject", "ListProjects"})


class DepotFault(Exception):
    """A call without the answer that was asked for.

    `code` is Connect's, empty where none fits. `cause` is in words of ours and may be shown; `said` is what Depot said,
    for the log alone. Neither holds a token.
    """

    def __init__(
        self, method: str, code: str, cause: str, *, said: str = "", retry_after: timedelta = timedelta(0)
    ) -> None:
        super().__init__(f"{method}: {cause}")
        self.method = method
        self.code = code
        self.cause = cause
        self.said = said
        self.retry_after = retry_after

    @property
    def is_transient(self) -> bool:
        return self.code in _TRANSIENT

    @property
    def details(self) -> dict[str, str]:
        """What a line of the log says of it."""
        return {"method": self.method, "cause": self.cause, "said": self.said}


def ours(fault: DepotFault) -> HydraError:
    """Return the error for callers, and log what only an operator may read."""
    note = log.warning if fault.is_transient else log.error
    note("Depot did not do what it was asked", **fault.details)
    call = f"{fault.method}: {fault.cause}"
    facts = {"method": fault.method, "code": fault.code}
    if fault.retry_after:
        facts["retry_after_seconds"] = str(round(fault.retry_after.total_seconds()))
    if fault.code == "resource_exhausted":
        return Transient(f"Depot limits our requests ({call}): try again later", reason="DEPOT_RATE_LIMITED", **facts)
    if fault.is_transient:
        return Transient(f"Depot is not available ({call}): try again later", reason="DEPOT_UNAVAILABLE", **facts)
    if fault.code in _FORBIDDEN:
        advice = "check registry.password" if fault.method in _WITH_OUR_TOKEN else "has it ended the build?"
        return FailedPrecondition(
            f"Depot does not accept the token ({call}): {advice}", reason="DEPOT_AUTH_FAILED", **facts
        )
    if fault.code == "not_found" and fault.method == "CreateBuild":
        return NotFound(f"the project is gone from Depot ({call})", reason="DEPOT_PROJECT_GONE", **facts)
    return Internal(f"Depot refused a call ({call}); its own words are in the log", reason="DEPOT_REFUSED", **facts)


async def retried(call: Callable[[], Awaitable[T]], pause: timedelta) -> T:
    """Call until there is an answer, or a fault that a retry does not cure. The caller bounds the time."""
    known: set[str] = set()
    while True:
        try:
            return await call()
        except DepotFault as fault:
            if not fault.is_transient:
                raise
            if fault.code not in known:
                log.warning("Depot is asked again", **fault.details)
            known.add(fault.code)
            await asyncio.sleep(max(pause, fault.retry_after).total_seconds())
