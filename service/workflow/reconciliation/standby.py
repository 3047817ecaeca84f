"""Deployments that run without a reason: those whose stop was lost, and those that were to be stopped (02 · 5)."""

from collections.abc import Mapping
from datetime import timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from service.clock import now_ms
from service.database import apps, attempts, deployments, history, stuck, switches, topologies, versions
from service.database.attempts import AttemptState
from service.database.stuck import Misplaced
from service.domain.deployment import DesiredState, Status, TopologyStatus
from service.domain.reconciliation import Finding, Kind
from service.durable.admin import quoted
from service.workflow.counters import counted
from service.workflow.phases import finalize
from service.workflow.reconciliation.round import MOST, Round

log = structlog.get_logger(__name__)

_SERVICE = "hydra.v1.DeploymentService"
_AT_ONCE = timedelta(0)


async def stop_what_has_no_reason(this: Round) -> None:
    """Stop what is to be stopped, or schedule it anew where its place was lost long ago and no stop is to come."""
    for finding in await this.look("look for lost stops", list[Finding], lambda: _look(this)):
        if not this.found(finding):
            continue
        if finding.kind is Kind.STANDBY_LOST:
            finalize.schedule_standby(this.journal, [finding.subject], after=_AT_ONCE)
        else:
            await _stop(this, finding.subject)


async def _look(this: Round) -> list[Finding]:
    async def read(conn: AsyncConnection) -> list[Finding]:
        return [
            finding
            for found in await stuck.misplaced(conn, this.quiet_since(), MOST)
            if (finding := await _judge(conn, this, found)) is not None
        ]

    findings = await this.runtime.database.read(read)
    awaited = await _awaited(this, [each.subject for each in findings if each.kind is Kind.STANDBY_LOST])
    return [each for each in findings if each.subject not in awaited]


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
    if await switches.has_place(conn, app, found.deployment_id):
        return False
    replaced_at = await switches.replaced_at(conn, app, found.deployment_id)
    if replaced_at is None or replaced_at + _ms(this.runtime.options.standby_delay) > this.quiet_since():
        return False
    return await history.set_running_at(conn, found.deployment_id) <= replaced_at


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
    async def attempt(floors: Mapping[str, int]) -> list[str]:
        return await this.runtime.database.transact(lambda conn: _set_stopped(conn, deployment_id, floors))

    await counted(this.journal, "stop what runs for nothing", attempt)


async def _set_stopped(conn: AsyncConnection, deployment_id: str, floors: Mapping[str, int]) -> list[str]:
    """Stop the deployment, if nobody has begun to work on it; returns regions whose counters must be started first."""
    await deployments.lock(conn, deployment_id)
    attempt = await attempts.newest(conn, deployment_id, lock=True)
    if attempt is not None and attempt.state is AttemptState.RUNNING:
        return []
    existing = await topologies.existing(conn, deployment_id)
    running = [region for region, row in existing.items() if row.desired_status == TopologyStatus.RUNNING]
    await versions.start_counters(conn, floors)
    if uncounted := await versions.uncounted(conn, running):
        return uncounted
    now = now_ms()
    await topologies.set_status(conn, deployment_id, TopologyStatus.STOPPED, running, now)
    if await deployments.status(conn, deployment_id) == Status.FAILED:
        await deployments.set_desired_state(conn, deployment_id, DesiredState.ARCHIVED, now)
    log.warning("stopped what ran for nothing", deployment=deployment_id, regions=running)
    return []


def _ms(duration: timedelta) -> int:
    return int(duration.total_seconds() * 1000)
