"""hydra.v1.DeployService over gRPC: checks a request, hands it to the workflow, waits for the answer."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable

import grpc.aio
import structlog
from google.protobuf import json_format
from google.protobuf.message import Message
from hydra.v1 import deploy_pb2, deploy_pb2_grpc

from service.contract import validate_deploy
from service.database import attempts
from service.database.engine import Database
from service.errors import HydraError, Internal, Transient
from service.rpc.call import DEPLOYMENT_ID, INVOCATION_ID, CallOptions, Mode, read_options
from service.rpc.drain import Drain
from service.rpc.ingress import Accepted, Ingress, Target
from service.rpc.status import DETAILS_KEY, code_of, details_of

log = structlog.get_logger(__name__)

SERVICE = "hydra.v1.DeployService"
Context = grpc.aio.ServicerContext[Message, Message]


class DeployServicer(deploy_pb2_grpc.DeployServiceServicer):
    """Implements Deploy; the other rpcs answer UNIMPLEMENTED, as the generated base class does."""

    def __init__(self, ingress: Ingress, database: Database, drain: Drain) -> None:
        self._ingress = ingress
        self._database = database
        self._drain = drain

    async def Deploy(  # noqa: N802 - the name is the proto's
        self, request: deploy_pb2.DeployRequest, context: Context
    ) -> deploy_pb2.DeployResponse:
        """Deploy, and answer at the end or, in submit mode, once the workflow is accepted."""

        async def answer() -> deploy_pb2.DeployResponse:
            options = read_options(context.invocation_metadata() or ())
            validate_deploy(request)
            accepted = await self._accept(request, options)
            await context.send_initial_metadata(
                ((INVOCATION_ID, accepted.invocation_id), (DEPLOYMENT_ID, request.deployment_id))
            )
            if options.mode is Mode.WAIT:
                await self._drain.unless_draining(self._ingress.wait(accepted.invocation_id))
            return deploy_pb2.DeployResponse()

        return await _answered(answer, context)

    async def _accept(self, request: deploy_pb2.DeployRequest, options: CallOptions) -> Accepted:
        """Hand a deploy over, under a key of its own attempt: a client's retry never deploys twice."""
        target = Target(SERVICE, "Deploy", options.restate_key or request.deployment_id)
        body = json_format.MessageToJson(request, indent=None).encode()
        if options.idempotency_key is not None:
            return await self._ingress.send(target, body, options.headers(options.idempotency_key))
        key = await self._database.read(lambda conn: attempts.idempotency_key(conn, request.deployment_id))
        accepted = await self._ingress.send(target, body, options.headers(key))
        if accepted.is_repeat and await self._ingress.was_killed(accepted.invocation_id):
            # Nobody ended that attempt in order, so its number was never counted up: begin one after it.
            again = options.headers(f"{key}/after/{accepted.invocation_id}")
            return await self._ingress.send(target, body, again)
        return accepted


async def _answered(
    answer: Callable[[], Awaitable[deploy_pb2.DeployResponse]], context: Context
) -> deploy_pb2.DeployResponse:
    """Answer a call, or end it with the status of what went wrong."""
    try:
        return await answer()
    except HydraError as error:
        await _abort(error, context)
    except asyncio.CancelledError:
        raise
    except Exception:
        correlation_id = uuid.uuid4().hex
        log.exception("call failed", correlation_id=correlation_id)
        await _abort(Internal(f"an internal error, id {correlation_id}", correlation_id=correlation_id), context)
    raise AssertionError("abort always raises")


async def _abort(error: HydraError, context: Context) -> None:
    if isinstance(error, Transient):
        log.warning("call cannot be served now", reason=error.reason)
    context.set_trailing_metadata(((DETAILS_KEY, details_of(error)),))
    await context.abort(code_of(error), error.message)
