"""Deployments that run without a reason: those whose stop was lost, and those that were to be stopped (02 · 5)."""

from functools import partial

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from service.clock import now_ms
from service.database import apps, attempts, deployments, history, operations, stuck, switches, topologies
from service.database.attempts import AttemptState
from service.database.stuck import Misplaced
from service.domain.deployment import DesiredState, Status, TopologyStatus
from service.domain.reconciliation import Finding, Kind
from service.durable.admin import quoted
from service.routing.standing import deployment_is_live, is_live
from service.workflow.reconciliation.round import MOST, Page, Round

log = structlog.get_logger(__name__)

_SERVICE = "hydra.v1.DeploymentService"


async def stop_what_has_no_reason(this: Round) -> None:
    """Stop what is to be stopped, or schedule it anew where its place was lost long ago and no stop is to come."""
    async for finding in this.pages("look for lost stops", Finding, partial(_look, this)):
        if finding.kind is not Kind.STANDBY_LOST or finding.subject not in this.resting:
            await this.settle(finding, partial(_end, this, finding))


async def _end(this: Round, finding: Finding) -> None:
    if finding.kind is Kind.STANDBY_LOST:
        this.let_rest(finding.subject, after_ms=0)
    else:
        await _stop(this, finding.subject)


async def _look(this: Round, after: str) -> Page[Finding]:
    async def read(conn: AsyncConnection) -> tuple[list[Finding], str]:
        rows = await stuck.misplaced(conn, this.quiet_since(), after, MOST)
        judged = [await _judge(conn, this, found) for found in rows]
        return [each for each in judged if each is not None], rows[-1].deployment_id if len(rows) == MOST else ""

    findings, last = await this.runtime.database.read(read)
    awaited = await _awaited(this, [each.subject for each in findings if each.kind is Kind.STANDBY_LOST])
    return Page([each for each in findings if each.subject not in awaited], last)


async def _judge(conn: AsyncConnection, this: Round, found: Misplaced) -> Finding | None:
    """Say why a deployment is not to run; None where it may."""
    subject = found.deployment_id
    if found.status is None:
        return Finding(Kind.TOPOLOGY_ORPHANED, subject, "set to run, but there is no such deployment: it is stopped")
    if found.status == Status.FAILED:
        return Finding(Kind.TOPOLOGY_NOT_STOPPED, subject, "failed, but still set to run: it is stopped")
    if found.desired_state != DesiredState.RUNNING:
        message = f"is to be {found.desired_state}, but still set to run: it is stopped"
        return Finding(Kind.TOPOLOGY_NOT_STOPPED, subject, message)
    if not await _lost_its_place(conn, this, found):
        return None
    message = "lost its place to another deployment, and its stop was lost: it is put to standby"
    return Finding(Kind.STANDBY_LOST, subject, message)


async def _lost_its_place(conn: AsyncConnection, this: Round, found: Misplaced) -> bool:
    """Tell whether it should have been at rest by now. One that somebody set running since is left alone."""
    app = await apps.find(conn, found.app_id)
    if await is_live(conn, app, found.deployment_id) or await switches.has_place(conn, app, found.deployment_id):
        return False
    delay_ms = this.runtime.options.standby_delay_ms
    rests_at = await switches.rests_at(conn, app, found.deployment_id, delay_ms)
    if rests_at is None or rests_at > this.quiet_since():
        return False
    return await history.set_running_at(conn, found.deployment_id) <= rests_at - delay_ms


async def _awaited(this: Round, deployment_ids: list[str]) -> set[str]:
    """Of these deployments, return the ones whose state is about to be changed by a message that is on its way."""
    if not deployment_ids:
        return set()
    keys = quoted(deployment_ids)
    coming = await this.runtime.restate.invocations(
        f"target_service_name = '{_SERVICE}' AND target_service_key IN ({keys}) AND status <> 'completed'"
    )
    return {each.key for each in coming}


async def _stop(this: Round, deployment_id: str) -> None:
    database = this.runtime.database
    work = partial(_set_stopped, deployment_id=deployment_id)
    await this.step("stop what runs for nothing", type(None), lambda: database.transact(work))


async def _set_stopped(conn: AsyncConnection, deployment_id: str) -> None:
    """Stop the deployment, if nobody has begun to work on it and it has not become live. Raises Uncounted."""
    app_id = await deployments.app_of(conn, deployment_id)
    app = await apps.find_locked(conn, app_id) if app_id else None
    await deployments.lock(conn, deployment_id)
    attempt = await attempts.newest(conn, deployment_id, lock=True)
    if attempt is not None and attempt.state is AttemptState.RUNNING:
        return
    if await operations.need(conn, deployment_id, besides="") or not await stuck.is_to_stop(conn, deployment_id):
        return
    if await is_live(conn, app, deployment_id):
        raise deployment_is_live(deployment_id)
    existing = await topologies.existing(conn, deployment_id)
    running = [region for region, row in existing.items() if row.runs]
    now = now_ms()
    await topologies.set_status(conn, deployment_id, TopologyStatus.STOPPED, running, now)
    if await deployments.status(conn, deployment_id) == Status.FAILED:
        await deployments.set_desired_state(conn, deployment_id, DesiredState.ARCHIVED, now)
    log.warning("stopped what ran for nothing", deployment=deployment_id, regions=running)
