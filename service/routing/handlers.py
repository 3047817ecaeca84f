"""hydra.v1.RoutingService: exclusive per app, so that moves of one app never interleave (02 · 7)."""

from collections.abc import Callable
from typing import Any

from hydra.v1 import routing_pb2

from service.clock import now_ms
from service.counters import Counters
from service.database.engine import Database
from service.durable.binding import Handler
from service.durable.journal import UNDO_BUDGET, Journal
from service.errors import InvalidArgument
from service.routing.assignment import Assignment, assign
from service.routing.revert import Reverted, revert
from service.routing.switch import Kind, Order, Switched, switch

_OPERATION_ID_LENGTH = 128

OpenJournal = Callable[[Any], Journal]

_KINDS: dict[int, Kind] = {
    routing_pb2.TRAFFIC_SWITCH_KIND_DEPLOY: Kind.DEPLOY,
    routing_pb2.TRAFFIC_SWITCH_KIND_ROLLBACK: Kind.ROLLBACK,
    routing_pb2.TRAFFIC_SWITCH_KIND_PROMOTE: Kind.PROMOTE,
}


def routing_handlers(database: Database, journal_of: OpenJournal) -> dict[str, Handler]:
    """Make the handlers by rpc name; the object's key is the app id."""

    async def switch_traffic(ctx: Any, request: routing_pb2.SwitchTrafficRequest) -> routing_pb2.SwitchTrafficResponse:
        _require_operation(request.operation_id)
        _require(request.deployment_id, "deployment_id")
        if request.kind not in _KINDS:
            raise InvalidArgument("kind is unspecified or unknown: say why the traffic moves", field="kind")
        if request.kind == routing_pb2.TRAFFIC_SWITCH_KIND_ROLLBACK:
            _require(request.source_deployment_id, "source_deployment_id")
        order = Order(
            request.operation_id,
            ctx.key(),
            request.deployment_id,
            _KINDS[request.kind],
            request.source_deployment_id,
        )
        switched = await journal_of(ctx).step(
            "switch traffic",
            Switched,
            lambda: database.transact(lambda conn: switch(conn, order, now_ms())),
        )
        return routing_pb2.SwitchTrafficResponse(**vars(switched))

    async def revert_traffic(ctx: Any, request: routing_pb2.RevertTrafficRequest) -> routing_pb2.RevertTrafficResponse:
        _require_operation(request.operation_id)
        _require(request.deployment_id, "deployment_id")
        order = Order(request.operation_id, ctx.key(), request.deployment_id)
        reverted = await Counters(journal_of(ctx), database).step(
            "revert traffic",
            Reverted,
            lambda: database.transact(lambda conn: revert(conn, order, now_ms())),
            UNDO_BUDGET,
        )
        return routing_pb2.RevertTrafficResponse(
            restored_route_ids=reverted.restored_route_ids, live_pointer_restored=reverted.live_pointer_restored
        )

    async def assign_frontline_routes(
        ctx: Any, request: routing_pb2.AssignFrontlineRoutesRequest
    ) -> routing_pb2.AssignFrontlineRoutesResponse:
        wanted = Assignment(ctx.key(), request.deployment_id, list(request.frontline_route_ids))
        await journal_of(ctx).step(
            "assign routes", type(None), lambda: database.transact(lambda conn: assign(conn, wanted, now_ms()))
        )
        return routing_pb2.AssignFrontlineRoutesResponse()

    return {
        "SwitchTraffic": switch_traffic,
        "RevertTraffic": revert_traffic,
        "AssignFrontlineRoutes": assign_frontline_routes,
    }


def _require_operation(operation_id: str) -> None:
    """Check that it can be the id of an invocation: our columns hold no others (`OperationId`)."""
    _require(operation_id, "operation_id")
    if len(operation_id) > _OPERATION_ID_LENGTH or not operation_id.isascii():
        raise InvalidArgument("operation_id is not the id of an invocation", field="operation_id")


def _require(value: str, field: str) -> None:
    if not value:
        raise InvalidArgument(f"{field} is empty", field=field)
