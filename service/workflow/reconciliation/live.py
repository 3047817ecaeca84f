"""Live deployments that do not run: they are set running."""

from dataclasses import dataclass
from functools import partial

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from service.clock import now_ms
from service.database import apps, attempts, deployments, steps, stuck
from service.database.attempts import AttemptState
from service.database.stuck import Resting
from service.domain.deployment import Status
from service.domain.reconciliation import Finding, Kind
from service.errors import FailedPrecondition, NotFound
from service.routing.waking import usable_regions, wake
from service.workflow.reconciliation.round import MOST, Page, Round

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Found:
    resting: Resting
    finding: Finding


async def wake_what_is_live(this: Round) -> None:
    """Set running what is live and is not ready or does not run."""

    async def look(after: str) -> Page[_Found]:
        async def read(conn: AsyncConnection) -> Page[_Found]:
            rows = await stuck.resting(conn, this.quiet_since(), after, MOST)
            return Page([await _judge(conn, row) for row in rows], rows[-1].app_id if len(rows) == MOST else "")

        return await this.runtime.database.read(read)

    async for found in this.pages("look for live deployments that rest", _Found, look):
        await this.settle(found.finding, partial(_set_running, this, found.resting))


async def _judge(conn: AsyncConnection, resting: Resting) -> _Found:
    """Say what is wrong, and whether the deployment can run at all."""
    stands = f"is live, but {resting.status}, to be {resting.desired_state}, or set to run in no region"
    try:
        await usable_regions(conn, await deployments.subject(conn, resting.deployment_id))
    except (FailedPrecondition, NotFound) as error:
        message, curable = f"{stands}: {error.message}", False
    else:
        message, curable = f"{stands}: it is set running", True
    return _Found(resting, Finding(Kind.LIVE_NOT_RUNNING, resting.deployment_id, message, curable))


async def _set_running(this: Round, resting: Resting) -> None:
    database = this.runtime.database
    work = partial(_wake, resting=resting)
    await this.step("set running what is live", type(None), lambda: database.transact(work))


async def _wake(conn: AsyncConnection, resting: Resting) -> None:
    """Set it running, and `ready` as what is live is; nothing where it lost its place or somebody works on it."""
    now = now_ms()
    app = await apps.find_locked(conn, resting.app_id)
    if app is None or app.current_deployment_id != resting.deployment_id:
        return
    if not await deployments.lock(conn, resting.deployment_id):
        return
    attempt = await attempts.newest(conn, resting.deployment_id, lock=True)
    if attempt is not None and attempt.state is AttemptState.RUNNING:
        return
    current = await deployments.subject(conn, resting.deployment_id)
    await wake(conn, current, now)
    if current.status != Status.READY:
        await steps.finish(conn, resting.deployment_id, now)
    log.warning("set running what is live", deployment=resting.deployment_id, was=current.desired_state.value)
