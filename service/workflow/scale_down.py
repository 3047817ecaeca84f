"""ScaleDownIdlePreviewDeployments: previews without requests are put to rest (02 · 4)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog
from hydra.v1 import deploy_pb2
from sqlalchemy.ext.asyncio import AsyncConnection

from service.analytics.requests import RequestLog, Routed
from service.clock import now_ms
from service.counters import Counters
from service.database import operations, previews
from service.database.operations import OperationKind, OperationState
from service.database.previews import Candidate
from service.durable.binding import Handler
from service.durable.journal import Journal
from service.errors import HydraError, Transient
from service.workflow.compensation import Compensation, unwind
from service.workflow.record import begin, operation_ended, record_failure
from service.workflow.runtime import Runtime

log = structlog.get_logger(__name__)

# Locks are held for as long as one transaction takes: many short ones let deploys through.
_PER_TRANSACTION = 100


@dataclass(frozen=True)
class Begun:
    """Since when (Unix ms) a preview must have been without requests; `earlier` where the sweep has ended before."""

    cutoff_ms: int
    earlier: OperationState | None = None


@dataclass(frozen=True)
class Swept:
    """What became of a page of environments; `cursor` is None after the last. Small, whatever the page holds.

    `left` counts the candidates that run on. Those that were stopped are counted where they are: a repeat
    of the step no longer finds them.
    """

    cursor: int | None
    left: int = 0
    failed: bool = False


def scale_down_handler(runtime: Runtime) -> Handler:
    """Make the handler. Shared; two sweeps at once do no harm, since each looks again under the locks."""

    async def scale_down(
        ctx: Any, _: deploy_pb2.ScaleDownIdlePreviewDeploymentsRequest
    ) -> deploy_pb2.ScaleDownIdlePreviewDeploymentsResponse:
        journal = runtime.journal(ctx)
        undo = Compensation()
        undo.add("record failure", lambda cause: record_failure(journal, runtime, OperationKind.SCALE_DOWN, {}, cause))
        try:
            begun = await _begin(journal, runtime)
            if begun.earlier is None:
                await _end(journal, runtime, await _sweep(journal, runtime, begun.cutoff_ms))
            elif begun.earlier is not OperationState.SUCCEEDED:
                raise operation_ended()
        except HydraError as error:
            await unwind(journal, undo, error)
            raise
        return deploy_pb2.ScaleDownIdlePreviewDeploymentsResponse()

    return scale_down


async def _sweep(journal: Journal, runtime: Runtime, cutoff_ms: int) -> list[Swept]:
    """Go through all pages; one that fails is skipped."""
    pages: list[Swept] = []
    cursor: int | None = 0
    while cursor is not None:
        sweep = partial(_sweep_page, journal, runtime, cursor, cutoff_ms)
        swept = await Counters(journal, runtime.database).step("sweep page", Swept, sweep)
        pages.append(swept)
        cursor = swept.cursor
    return pages[:-1]


async def _begin(journal: Journal, runtime: Runtime) -> Begun:
    """Record the operation and fix the cutoff; refuse where nobody counts requests."""

    async def attempt() -> Begun:
        await runtime.requests.active([], since_ms=0)

        async def work(conn: AsyncConnection) -> Begun:
            cutoff_ms = now_ms() - int(runtime.options.idle_time.total_seconds() * 1000)
            earlier = await operations.state(conn, journal.operation_id)
            if earlier is not None and earlier.has_ended:
                return Begun(cutoff_ms, earlier)
            await begin(conn, journal, OperationKind.SCALE_DOWN, {})
            return Begun(cutoff_ms)

        return await runtime.database.transact(work)

    return await journal.step("begin sweep", Begun, attempt)


async def _sweep_page(journal: Journal, runtime: Runtime, after_pk: int, cutoff_ms: int) -> Swept:
    """Put the idle deployments of one page to rest: one database query, one ClickHouse query, short transactions.

    Raises FailedPrecondition where the log of requests stands still.
    """
    page = await runtime.database.read(lambda conn: previews.page(conn, after_pk, cutoff_ms))
    left = len(page.candidates)
    try:
        active = await called_since(runtime.requests, page.candidates, cutoff_ms)
        idle = [candidate for candidate in page.candidates if candidate.deployment_id not in active]
        if idle:  # where nothing is to be stopped, a log that stands still does no harm
            await runtime.requests.require_alive()
    except Transient as error:
        log.warning("page of previews skipped", after_pk=after_pk, candidates=left, reason=error.reason)
        return Swept(page.cursor, left, failed=True)

    async def stop(conn: AsyncConnection, some: list[Candidate]) -> int:
        stopped = len(await previews.put_to_standby(conn, some, cutoff_ms, now_ms()))
        await operations.tally(conn, journal.operation_id, "stopped", stopped)
        return stopped

    for first in range(0, len(idle), _PER_TRANSACTION):
        some = idle[first : first + _PER_TRANSACTION]
        left -= await runtime.database.transact(partial(stop, some=some))
    return Swept(page.cursor, left)


async def called_since(requests: RequestLog, candidates: Sequence[Candidate], since_ms: int) -> set[str]:
    """Return the ids of the candidates that had a request since then. Raises as `RequestLog.active`."""
    asked = [
        Routed(
            workspace_id=candidate.workspace_id,
            project_id=candidate.project_id,
            environment_id=candidate.environment_id,
            deployment_id=candidate.deployment_id,
        )
        for candidate in candidates
    ]
    return await requests.active(asked, since_ms=since_ms)


async def _end(journal: Journal, runtime: Runtime, pages: list[Swept]) -> None:
    """Record what was done. Raises Transient where ClickHouse told of no preview at all."""
    unknown = sum(page.left for page in pages if page.failed)

    async def work(conn: AsyncConnection) -> bool:
        stopped = await operations.tally(conn, journal.operation_id, "stopped", 0)
        looked_at = sum(page.left for page in pages) + stopped
        failed_pages = sum(page.failed for page in pages)
        detail = {"pages": len(pages), "failed_pages": failed_pages, "looked_at": looked_at}
        await operations.annotate(conn, journal.operation_id, detail)
        could_tell = looked_at > unknown or not unknown
        if could_tell:
            await operations.end(conn, journal.operation_id, OperationState.SUCCEEDED, now_ms())
        return could_tell

    if not await journal.step("end sweep", bool, lambda: runtime.database.transact(work)):
        raise Transient(
            "no page of previews could be checked: ClickHouse cannot be reached", reason="CLICKHOUSE_UNAVAILABLE"
        )
