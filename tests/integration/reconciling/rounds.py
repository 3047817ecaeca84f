"""Rounds of the reconciler, and what they find."""

from typing import Any

from tests.installation import Installation

ROUND = "/hydra.v1.ReconcileService/installation/Reconcile"


async def go_round(installation: Installation, *, dry_run: bool = False) -> list[dict[str, Any]]:
    """Have a thorough round gone; returns its findings as Restate's ingress answers them."""
    answer = await installation.ingress(ROUND, {"dryRun": dry_run, "thorough": True})
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
