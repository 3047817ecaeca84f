"""`hydra-deploy reconcile`: a round of the reconciler, now."""

import json
from collections.abc import Sequence
from typing import Any

from hydra.v1 import reconcile_pb2
from rich.table import Table
from rich.text import Text

from service import log
from service.cli import interrupt, terminal
from service.cli.attendance import attend
from service.cli.options import AsJson, Config, DryRun, settings_from
from service.config import Settings
from service.rpc.ingress import Ingress
from service.rpc.reconciler import go_round

Finding = reconcile_pb2.ReconcileFinding

_FATES = {
    reconcile_pb2.RECONCILE_FATE_SETTLED: ("settled", "green"),
    reconcile_pb2.RECONCILE_FATE_WOULD_SETTLE: ("would settle", "cyan"),
    reconcile_pb2.RECONCILE_FATE_LEFT: ("left to you", "yellow"),
}
_UNKNOWN = ("unknown", "dim")  # of a newer worker


def reconcile(*, config: Config = None, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Find what nobody works on any more and settle what is safe, over Restate's ingress; --dry-run only looks.

    Workers do so by themselves in every `reconcile.interval`. Ctrl-C only stops watching: the round is gone to its end.
    """
    settings = settings_from(config)
    log.configure("critical", "text")  # what goes wrong is told in one line, at the end
    found = interrupt.run(_round(settings, dry_run=dry_run, as_json=as_json))
    if as_json:
        print(document(found))
        return
    console = terminal.console()
    if found:
        console.print(table(found))
    console.print(summary(found), style="bold")


async def _round(settings: Settings, *, dry_run: bool, as_json: bool) -> Sequence[Finding]:
    ingress = Ingress(settings.restate.ingress_url)
    try:
        return await attend(terminal.console(errors=as_json), go_round(ingress, dry_run=dry_run), _under_way)
    finally:
        await ingress.close()


async def _under_way() -> str:
    return "the round is under way"


def document(found: Sequence[Finding]) -> str:
    """Write findings as JSON (docs/command-line.md)."""
    return json.dumps([_fields(finding) for finding in found], indent=2, ensure_ascii=False)


def _fields(finding: Finding) -> dict[str, Any]:
    fate, _ = _FATES.get(finding.fate, _UNKNOWN)
    return {"kind": finding.kind, "subject": finding.subject, "message": finding.message, "fate": fate}


def table(found: Sequence[Finding]) -> Table:
    """Lay findings out, one to a line."""
    grid = terminal.grid(4)
    for finding in found:
        grid.add_row(Text(*_FATES.get(finding.fate, _UNKNOWN)), finding.kind, finding.subject, finding.message)
    return grid


def summary(found: Sequence[Finding]) -> str:
    """Say how many findings there are, by what became of them."""
    if not found:
        return "all is in order"
    counts = [
        f"{number} {fate}"
        for fate, _ in (*_FATES.values(), _UNKNOWN)
        if (number := sum(_FATES.get(finding.fate, _UNKNOWN)[0] == fate for finding in found))
    ]
    return ", ".join(counts)
