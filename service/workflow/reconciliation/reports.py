"""Deployments that GitHub shows as under way, although they have ended: a report was lost, or given up."""

from dataclasses import dataclass

from hydra.v1 import github_status_pb2

from service.database import stuck
from service.domain.deployment import Status
from service.domain.reconciliation import Finding, Kind
from service.durable.admin import quoted
from service.workflow.github_report import TOLD
from service.workflow.phases import report
from service.workflow.reconciliation.round import MOST, Round

_SERVICE = "hydra.v1.GitHubStatusService"
_UNDER_WAY = (
    github_status_pb2.GITHUB_DEPLOYMENT_STATE_PENDING,
    github_status_pb2.GITHUB_DEPLOYMENT_STATE_IN_PROGRESS,
    github_status_pb2.GITHUB_DEPLOYMENT_STATE_QUEUED,
)


@dataclass(frozen=True)
class _Open:
    """A deployment that has ended, how, and with what error (empty for none)."""

    deployment_id: str
    status: Status
    error: str


async def close_open_reports(this: Round) -> None:
    """Tell GitHub the end of what it shows as under way."""
    for left in await this.look("look for open reports", list[_Open], lambda: _look(this)):
        message = f"{left.status}, but GitHub shows it as under way: it is told"
        if this.found(Finding(Kind.REPORT_OPEN, left.deployment_id, message)):
            report.ended(this.journal, left.deployment_id, left.error, ready=left.status is Status.READY)


async def _look(this: Round) -> list[_Open]:
    restate = this.runtime.restate
    told = quoted(str(number) for number in _UNDER_WAY)
    rows = await restate.query(
        f"SELECT service_key FROM state WHERE service_name = '{_SERVICE}' AND key = '{TOLD}' "  # noqa: S608 - constants
        f"AND value_utf8 IN ({told}) LIMIT {MOST}"
    )
    shown = [row["service_key"] for row in rows]
    if not shown:
        return []
    ended = await this.runtime.database.read(lambda conn: stuck.ended(conn, shown, this.quiet_since()))
    under_way = await restate.invocations(
        f"target_service_name = '{_SERVICE}' AND target_service_key IN ({quoted(ended)}) AND status <> 'completed'"
    )
    busy = {each.key for each in under_way}
    return [_Open(each, status, error) for each, (status, error) in sorted(ended.items()) if each not in busy]
