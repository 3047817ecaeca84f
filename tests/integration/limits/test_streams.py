import asyncio

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.integration.limits.bounded import BoundedServer
from tests.integration.limits.wire import MAX_CONCURRENT_STREAMS, Wire
from tests.waiting import until

pytestmark = pytest.mark.xdist_group("limits")

_STREAMS = 4  # of `small`
_CHECK = "/grpc.health.v1.Health/Check"


async def test_the_bound_on_streams_is_announced_and_kept(small: BoundedServer) -> None:
    async with await Wire.open(small.address) as wire:
        streams = [wire.call(path=_CHECK) for _ in range(_STREAMS + 1)]

        async def is_refused() -> bool:
            return streams[-1] in wire.ended

        await until(is_refused)
        assert wire.settings[MAX_CONCURRENT_STREAMS] == _STREAMS
        assert wire.resets.keys() == {streams[-1]}


async def test_more_calls_than_streams_wait_at_the_client(small: BoundedServer) -> None:
    async with small.caller() as caller:
        stub = health_pb2_grpc.HealthStub(caller.channel)
        watches = [stub.Watch(health_pb2.HealthCheckRequest()) for _ in range(_STREAMS)]
        for watch in watches:
            await watch.read()
        checks = [asyncio.ensure_future(stub.Check(health_pb2.HealthCheckRequest())) for _ in range(10 * _STREAMS)]
        assert await small.health() == "SERVING"
        assert not any(check.done() for check in checks)
        for watch in watches:
            watch.cancel()
        answers = await asyncio.gather(*checks)
    assert {answer.status for answer in answers} == {health_pb2.HealthCheckResponse.SERVING}
