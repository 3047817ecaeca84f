"""grpc.health.v1 as grpcio-health-checking has it, bounded: where health is open, anybody may watch it for ever."""

from typing import Any

import grpc.aio
from grpc_health.v1 import health_pb2
from grpc_health.v1._async import HealthServicer

from service.errors import Overloaded
from service.rpc.limits import Places
from service.rpc.status import abort

_MOST_WATCHERS = 500  # of the calls that `Limits` leaves room for beside those that wait

_Context = grpc.aio.ServicerContext[Any, Any]


class Health(HealthServicer):  # type: ignore[misc] # the library carries no types
    """Answers Check, and Watch to so many; List, which the library has but does not serve, is not there."""

    def __init__(self) -> None:
        super().__init__()
        self._watchers = Places(_MOST_WATCHERS)

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: _Context) -> None:  # noqa: N802 - the proto's name
        try:
            with self._watchers.one():
                await super().Watch(request, context)
        except Overloaded as error:
            await abort(error, context)

    async def List(self, _: health_pb2.HealthListRequest, context: _Context) -> None:  # noqa: N802 - as above
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "List is not served: use Check")
