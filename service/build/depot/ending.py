"""How a build ends at Depot: told in bounded time, also by a task that was cancelled, and never masking the result."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

from service.build.depot.api import BuildTicket, DepotApi, Outcome
from service.build.depot.faults import DepotFault, retried
from service.build.depot.timing import Timing

log = structlog.get_logger(__name__)

T = TypeVar("T")

SUCCESS = Outcome("success")
CANCELED = Outcome("canceled")


async def finish(api: DepotApi, build: BuildTicket, outcome: Outcome, timing: Timing) -> None:
    """Tell Depot how the build ended. Trouble is logged only: the build's own result counts."""
    try:
        async with asyncio.timeout(timing.finish.total_seconds()):
            await retried(lambda: api.finish(build, outcome), timing.retry_pause)
    except TimeoutError:
        log.warning("Depot was not told in time how the build ended", build=build.build_id, result=outcome.result)
    except DepotFault as fault:
        log.warning(
            "Depot was not told how the build ended", build=build.build_id, result=outcome.result, **fault.details
        )
    except Exception:  # not even a bug in here may stand in for what became of the build
        log.exception("Depot was not told how the build ended", build=build.build_id, result=outcome.result)


async def abandon(api: DepotApi, creating: asyncio.Task[BuildTicket], timing: Timing) -> None:
    """Cancel a build whose id may still be on its way; one that does not come in time stays without a heartbeat."""
    try:
        async with asyncio.timeout(timing.finish.total_seconds()):
            build = await creating
    except (DepotFault, TimeoutError):
        return
    await finish(api, build, CANCELED, timing)


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Await work that ends even if this task is cancelled meanwhile; the cancellation is raised afterwards."""
    task = asyncio.create_task(work)
    cancellation: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancellation = error
    if cancellation is not None:
        raise cancellation
    return task.result()
