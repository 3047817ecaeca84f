"""Asking GitHub from a workflow: patiently, never for ever, and not against its will."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

import structlog

from service.durable.journal import Budget, Journal
from service.errors import QuotaExceeded, Transient

log = structlog.get_logger(__name__)

T = TypeVar("T")

_BUDGET = Budget(
    max_duration=timedelta(minutes=10), initial_interval=timedelta(milliseconds=500), max_interval=timedelta(seconds=30)
)
_WAITS = 3  # GitHub asks for an hour at most
_LIMITED = "GITHUB_RATE_LIMITED"


async def ask(journal: Journal, name: str, result: type[T], action: Callable[[], Awaitable[T]]) -> T:
    """Journal a request to GitHub as a step, and return its value, of type `result`.

    An outage is waited out for minutes. Where GitHub names a time to wait, nothing is asked before it is over, and
    nothing of this process is held meanwhile. Raises HydraError where that was not enough.
    """
    waits = 0
    while True:
        try:
            return await journal.step(name, result, lambda: _unless_limited(action), _BUDGET)
        except QuotaExceeded as error:
            if error.reason != _LIMITED or waits == _WAITS:
                raise
            waits += 1
            log.info("waiting for GitHub", step=name, operation=journal.operation_id, why=error.message)
            await journal.sleep(timedelta(seconds=int(error.facts["retry_after_s"])))


async def _unless_limited(action: Callable[[], Awaitable[T]]) -> T:
    """Make a rate limit an answer: a retry within the step would meet it again."""
    try:
        return await action()
    except Transient as error:
        if error.reason == _LIMITED:
            raise QuotaExceeded(error.message, reason=_LIMITED, **error.facts) from None
        raise
