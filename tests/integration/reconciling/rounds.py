"""Rounds of the reconciler, and what they find."""

from typing import Any

from service.database import tables
from tests.installation import Installation
from tests.reporting_site import Connected, ReportingSite

ROUND = "/hydra.v1.ReconcileService/installation/Reconcile"


async def go_round(installation: Installation, *, dry_run: bool = False, thorough: bool = True) -> list[dict[str, Any]]:
    """Have a round gone; returns its findings as Restate's ingress answers them."""
    answer = await installation.ingress(ROUND, {"dryRun": dry_run, "thorough": thorough})
    assert answer.status == 200, answer.body
    found: list[dict[str, Any]] = answer.body.get("findings", [])
    return found


async def found_of(installation: Installation, subject: str, *, dry_run: bool = False) -> list[tuple[str, str]]:
    """Go a round; returns kind and fate of what it found of one subject."""
    return [
        (each["kind"], each["fate"].removeprefix("RECONCILE_FATE_"))
        for each in await go_round(installation, dry_run=dry_run)
        if each["subject"] == subject
    ]


async def shows(site: ReportingSite, connected: Connected, deployment_id: str, state: str) -> bool:
    """Tell whether GitHub shows the deployment, and in that state."""
    row = await site.installation.row(tables.deployments, id=deployment_id)
    known = [each for each in connected.repository.deployments if each.deployment_id == row["github_deployment_id"]]
    return [status.state for each in known for status in each.statuses][-1:] == [state]
