"""hydra.v1.ReconcileService: finds what nobody works on any more, and settles it (06 · decision 7)."""

from typing import Any

from hydra.v1 import reconcile_pb2

from service.durable.binding import Handler
from service.workflow.reconciliation.live import wake_what_is_live
from service.workflow.reconciliation.operations import end_dead_operations
from service.workflow.reconciliation.orphans import (
    archive_lost_sentinels,
    point_lost_routes,
    tell_of_forgotten_deployments,
)
from service.workflow.reconciliation.reports import close_open_reports
from service.workflow.reconciliation.round import Round
from service.workflow.reconciliation.standby import stop_what_has_no_reason
from service.workflow.runtime import Runtime


def reconcile_handlers(runtime: Runtime) -> dict[str, Handler]:
    """Make the handlers by rpc name."""

    async def reconcile(ctx: Any, request: reconcile_pb2.ReconcileRequest) -> reconcile_pb2.ReconcileResponse:
        this = Round(runtime.journal(ctx), runtime, dry_run=request.dry_run)
        if request.thorough:
            # First: GitHub is told anyway of what the other parts end.
            await this.part("reports", close_open_reports)
        await this.part("operations", end_dead_operations)
        await this.part("live", wake_what_is_live)
        await this.part("stops", stop_what_has_no_reason)
        if request.thorough:
            await this.part("deployments", tell_of_forgotten_deployments)
            await this.part("routes", point_lost_routes)
            await this.part("sentinels", archive_lost_sentinels)
        return _answer(this)

    return {"Reconcile": reconcile}


def _answer(this: Round) -> reconcile_pb2.ReconcileResponse:
    settled = reconcile_pb2.RECONCILE_FATE_WOULD_SETTLE if this.dry_run else reconcile_pb2.RECONCILE_FATE_SETTLED
    return reconcile_pb2.ReconcileResponse(
        findings=[
            reconcile_pb2.ReconcileFinding(
                kind=found.kind.value,
                subject=found.subject,
                message=found.message,
                fate=settled if found.curable else reconcile_pb2.RECONCILE_FATE_LEFT,
            )
            for found in this.findings
        ]
    )
