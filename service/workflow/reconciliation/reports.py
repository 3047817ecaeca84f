"""Deployments that GitHub shows as under way, although they have ended: a report was lost, or given up."""

from dataclasses import dataclass
from functools import partial

from hydra.v1 import github_status_pb2

from service.database import stuck
from service.domain.deployment import Status
from service.domain.reconciliation import Finding, Kind
from service.durable.admin import Admin, quoted
from service.workflow.github_report import TOLD
from service.workflow.phases import report
from service.workflow.reconciliation.round import MOST, Page, Round

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
    async for left in this.pages("look for open reports", _Open, partial(_look, this)):
        message = f"{left.status}, but GitHub shows it as under way: it is told"
        finding = Finding(Kind.REPORT_OPEN, left.deployment_id, message)
        await this.settle(finding, partial(_tell, this, left))


async def _tell(this: Round, left: _Open) -> None:
    report.ended(this.journal, left.deployment_id, left.error, ready=left.status is Status.READY)


async def _look(this: Round, after: str) -> Page[_Open]:
    restate = this.runtime.restate
    shown = await _shown_under_way(restate, f"service_key > {quoted([after])}")
    last = shown[-1] if len(shown) == MOST else ""
    ended = await this.runtime.database.read(lambda conn: stuck.ended(conn, shown, this.quiet_since()))
    if not ended:
        return Page([], last)
    under_way = await restate.invocations(
        f"target_service_name = '{_SERVICE}' AND target_service_key IN ({quoted(ended)}) AND status <> 'completed'"
    )
    busy = {each.key for each in under_way}
    # Asked again: a report that was made between the two questions is none that is lost.
    left = set(await _shown_under_way(restate, f"service_key IN ({quoted(ended)})")) - busy
    return Page([_Open(each, *ended[each]) for each in sorted(left)], last)


async def _shown_under_way(restate: Admin, among: str) -> list[str]:
    """List deployments that GitHub has been told are under way, and of nothing since; `among` is a condition."""
    told = quoted(str(number) for number in _UNDER_WAY)
    rows = await restate.query(
        f"SELECT service_key FROM state WHERE service_name = '{_SERVICE}' AND key = '{TOLD}' "  # noqa: S608 - quoted
        f"AND value_utf8 IN ({told}) AND {among} ORDER BY service_key LIMIT {MOST}"
    )
    return [row["service_key"] for row in rows]
