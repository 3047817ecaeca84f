"""hydra.v1.DeployService over gRPC: checks a request, hands it to the workflow, waits for the answer."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import grpc.aio
import structlog
from google.protobuf import json_format
from google.protobuf.message import Message
from hydra.v1 import deploy_pb2, deploy_pb2_grpc

from service.contract import validate_deploy, validate_promote, validate_rollback
from service.database import attempts
from service.database.engine import Database
from service.errors import HydraError, Internal, Transient
from service.rpc.call import DEPLOYMENT_ID, INVOCATION_ID, SERVICE, CallOptions, Mode, read_options
from service.rpc.drain import Drain
from service.rpc.entrance import caller
from service.rpc.ingress import Accepted, Ingress, Target
from service.rpc.status import abort

log = structlog.get_logger(__name__)

Context = grpc.aio.ServicerContext[Message, Message]
_Accept = Callable[[Target, Message, CallOptions], Awaitable[Accepted]]


@dataclass(frozen=True)
class _Rpc:
    """How one rpc is served: its check, the deployment that it is about, and its empty answer."""

    name: str
    validate: Callable[[Any], None]
    deployment_id: Callable[[Any], str]
    response: Callable[[], Message]


_DEPLOY = _Rpc("Deploy", validate_deploy, lambda request: str(request.deployment_id), deploy_pb2.DeployResponse)
_ROLLBACK = _Rpc(
    "Rollback", validate_rollback, lambda request: str(request.target_deployment_id), deploy_pb2.RollbackResponse
)
_PROMOTE = _Rpc(
    "Promote", validate_promote, lambda request: str(request.target_deployment_id), deploy_pb2.PromoteResponse
)
_SCALE_DOWN = _Rpc(
    "ScaleDownIdlePreviewDeployments",
    lambda _: None,
    lambda _: "",
    deploy_pb2.ScaleDownIdlePreviewDeploymentsResponse,
)

# A sweep is about no deployment. Its handler is shared, so the key of its object keeps nobody waiting.
_SWEEP_KEY = "idle-previews"
_MOST_KILLED_ATTEMPTS = 10


class DeployServicer(deploy_pb2_grpc.DeployServiceServicer):
    """Hands each rpc to the handler of its name, and answers at its end or, in submit mode, once it is accepted."""

    def __init__(self, ingress: Ingress, database: Database, drain: Drain) -> None:
        self._ingress = ingress
        self._database = database
        self._drain = drain

    async def Deploy(self, request: deploy_pb2.DeployRequest, context: Context) -> Any:  # noqa: N802 - the proto's name
        """Build or take an image, run it in every region and move traffic to it."""
        return await _answered(lambda: self._serve(_DEPLOY, request, context, self._accept_deploy), context)

    async def Rollback(self, request: deploy_pb2.RollbackRequest, context: Context) -> Any:  # noqa: N802 - as above
        """Move the live deployment's traffic back to an earlier one."""
        return await _answered(lambda: self._serve(_ROLLBACK, request, context, self._accept), context)

    async def Promote(self, request: deploy_pb2.PromoteRequest, context: Context) -> Any:  # noqa: N802 - as above
        """Make a deployment live for good, or confirm a rollback to it."""
        return await _answered(lambda: self._serve(_PROMOTE, request, context, self._accept), context)

    async def ScaleDownIdlePreviewDeployments(  # noqa: N802 - as above
        self, request: deploy_pb2.ScaleDownIdlePreviewDeploymentsRequest, context: Context
    ) -> Any:
        """Put preview deployments to rest that had no requests for a while."""
        return await _answered(lambda: self._serve(_SCALE_DOWN, request, context, self._accept), context)

    async def _serve(self, rpc: _Rpc, request: Message, context: Context, accept: _Accept) -> Message:
        options = read_options(context.invocation_metadata() or (), _authenticated(context))
        rpc.validate(request)
        deployment_id = rpc.deployment_id(request)
        target = Target(SERVICE, rpc.name, options.restate_key or deployment_id or _SWEEP_KEY)
        accepted = await accept(target, request, options)
        told = ((INVOCATION_ID, accepted.invocation_id), (DEPLOYMENT_ID, deployment_id))
        await context.send_initial_metadata(tuple(pair for pair in told if pair[1]))
        if options.mode is Mode.WAIT:
            await self._drain.unless_draining(self._ingress.wait(accepted.invocation_id))
        return rpc.response()

    async def _accept(self, target: Target, request: Message, options: CallOptions) -> Accepted:
        body = json_format.MessageToJson(request, indent=None).encode()
        return await self._ingress.send(target, body, options.headers(options.idempotency_key))

    async def _accept_deploy(self, target: Target, request: Message, options: CallOptions) -> Accepted:
        """Hand a deploy over, under a key of its own attempt: a client's retry never deploys twice."""
        if options.idempotency_key is not None:
            return await self._accept(target, request, options)
        deployment_id = _DEPLOY.deployment_id(request)
        meant = await self._database.read(lambda conn: attempts.meant(conn, deployment_id))
        if meant.operation_id:
            return Accepted(meant.operation_id, is_repeat=True)
        key = meant.idempotency_key
        for _ in range(_MOST_KILLED_ATTEMPTS):
            accepted = await self._accept(target, request, replace(options, idempotency_key=key))
            if not accepted.is_repeat or not await self._ingress.was_killed(accepted.invocation_id):
                return accepted
            # Nobody ended that attempt in order, so its number was never counted up: begin one after it.
            key = f"{key.partition('/after/')[0]}/after/{accepted.invocation_id}"
        raise Transient("too many attempts at this deployment were killed: wait a while", reason="ATTEMPTS_KILLED")


def _authenticated(context: Context) -> str:
    """Name who calls: by the token, else by the client's certificate; empty where neither is asked for."""
    token = caller()
    if token is not None:
        return token.name
    names = context.peer_identities() or ()
    name = next(iter(names), b"").decode("ascii", "backslashreplace")
    return "".join(letter if letter.isprintable() else "?" for letter in name)  # it travels in a header


async def _answered(answer: Callable[[], Awaitable[Message]], context: Context) -> Message:
    """Answer a call, or end it with the status of what went wrong."""
    try:
        return await answer()
    except HydraError as error:
        if isinstance(error, Transient):
            log.warning("call cannot be served now", reason=error.reason)
        await abort(error, context)
    except asyncio.CancelledError:
        raise
    except Exception:
        correlation_id = uuid.uuid4().hex
        log.exception("call failed", correlation_id=correlation_id)
        await abort(Internal(f"an internal error, id {correlation_id}", correlation_id=correlation_id), context)
