"""Asking hydra.v1.ReconcileService for a round, over Restate's ingress."""

from google.protobuf import json_format
from hydra.v1 import reconcile_pb2

from service.rpc.ingress import Ingress, Target, strange

_TARGET = Target("hydra.v1.ReconcileService", "Reconcile", "installation")


async def ask_for_round(ingress: Ingress, name: str, *, thorough: bool) -> str:
    """Hand a round over, unless one of that name was asked for before; returns its invocation id.

    Raises Transient where Restate is not there.
    """
    kind = "thorough" if thorough else "quick"
    request = reconcile_pb2.ReconcileRequest(thorough=thorough)
    return await _send(ingress, request, {"idempotency-key": f"reconcile/{kind}/{name}"})


async def go_round(ingress: Ingress, *, dry_run: bool) -> list[reconcile_pb2.ReconcileFinding]:
    """Have a thorough round gone and return what it found. Raises HydraError, whatever answers."""
    invocation_id = await _send(ingress, reconcile_pb2.ReconcileRequest(dry_run=dry_run, thorough=True), {})
    answer = await ingress.wait(invocation_id)
    try:
        found = json_format.Parse(answer, reconcile_pb2.ReconcileResponse(), ignore_unknown_fields=True)
    except (json_format.ParseError, ValueError, RecursionError):
        raise strange("for the findings of a round") from None
    return [*found.findings]


async def _send(ingress: Ingress, request: reconcile_pb2.ReconcileRequest, headers: dict[str, str]) -> str:
    accepted = await ingress.send(_TARGET, json_format.MessageToJson(request, indent=None).encode(), headers)
    return accepted.invocation_id
