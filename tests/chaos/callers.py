"""Callers that do not give up: they call again, for the same deployment, until there is an answer."""

import asyncio
from dataclasses import dataclass

import grpc
from hydra.v1 import deploy_pb2

from service.rpc.client import DeployClient
from service.rpc.failure import CallFailed

_PAUSE_S = 0.5


@dataclass(frozen=True)
class Done:
    """A deploy that came to its end: after how long, and with how many calls that were not even accepted."""

    deployment_id: str
    invocation_id: str
    took_s: float
    refusals: int


async def deploy(client: DeployClient, request: deploy_pb2.DeployRequest) -> Done:
    """Deploy whatever becomes of the server meanwhile. Raises CallFailed for any other answer."""
    clock = asyncio.get_running_loop().time
    began_s = clock()
    refusals = 0
    while True:
        try:
            invocation_id = await client.deploy(request)
        except CallFailed as failed:
            if failed.code is not grpc.StatusCode.UNAVAILABLE:
                raise
            refusals += 1
            await asyncio.sleep(_PAUSE_S)
        else:
            return Done(request.deployment_id, invocation_id, clock() - began_s, refusals)
