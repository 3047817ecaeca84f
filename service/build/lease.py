"""Working under a lease that is renewed meanwhile: who loses it stops."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import TypeVar

import structlog

from service import background
from service.errors import Transient

log = structlog.get_logger(__name__)

T = TypeVar("T")

Renew = Callable[[], Awaitable[bool]]

LEASE_LOST = "BUILD_LEASE_LOST"
_RENEWALS = 3  # within one lease, so that one that fails does not lose it


async def under_lease(work: Callable[[], Awaitable[T]], renew: Renew, lease: timedelta) -> T:
    """Run `work`, cancelling it as soon as the lease is over: taken by another, or not renewed in time.

    The lease begins now. Raises Transient where it was lost.
    """
    bound = asyncio.timeout(lease.total_seconds())
    try:
        async with bound:
            keeper = background.until_done("build lease", partial(_keep, renew, lease, bound), lease / _RENEWALS)
            try:
                return await work()
            finally:
                if not bound.expired():
                    bound.reschedule(None)  # the outcome stands: who writes it down has to hold the lease then
                await background.end(keeper)
    except TimeoutError:
        if not bound.expired():
            raise
        raise Transient("the build's lease was lost", reason=LEASE_LOST) from None


async def _keep(renew: Renew, lease: timedelta, bound: asyncio.Timeout) -> None:
    clock = asyncio.get_running_loop().time
    while True:
        await asyncio.sleep(lease.total_seconds() / _RENEWALS)
        asked = clock()
        try:
            renewed = await renew()
        except Transient as error:
            log.warning("a build's lease could not be renewed", reason=error.reason)
            continue
        except Exception:
            log.exception("a build's lease could not be renewed")
            continue
        if bound.expired():
            return
        # What was renewed lasts from when it was asked for: that is what the database wrote down, or earlier.
        bound.reschedule(asked + lease.total_seconds() if renewed else asked)
        if not renewed:
            return
