"""Crossing from our errors to gRPC statuses with details (01 · 4)."""

import asyncio
from datetime import timedelta
from typing import Any, NoReturn

import grpc
import grpc.aio
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from service.errors import HydraError, InvalidArgument, Overloaded, Transient

DETAILS_KEY = "grpc-status-details-bin"
DOMAIN = "hydra.v1"
_RETRY_AFTER = timedelta(seconds=1)


def code_of(error: HydraError) -> grpc.StatusCode:
    """Return the gRPC code of an error's class."""
    return grpc.StatusCode[error.status]


def details_of(error: HydraError) -> bytes:
    """Serialize the google.rpc.Status that travels with an error.

    ErrorInfo always; BadRequest, PreconditionFailure or RetryInfo where they say more.
    """
    status = status_pb2.Status(code=code_of(error).value[0], message=error.message)
    for detail in (_error_info(error), *_more(error)):
        status.details.add().Pack(detail)
    serialized: bytes = status.SerializeToString()
    return serialized


async def abort(error: HydraError, context: grpc.aio.ServicerContext[Any, Any]) -> NoReturn:
    """End a call with an error, its details in the trailing metadata."""
    context.set_trailing_metadata(((DETAILS_KEY, details_of(error)),))
    try:
        await context.abort(code_of(error), error.message)
    except grpc.aio.InternalError:
        # The call has ended meanwhile, as gRPC ends one whose message is too large: there is nobody to tell.
        raise asyncio.CancelledError from None
    raise AssertionError("abort always raises")


def _error_info(error: HydraError) -> error_details_pb2.ErrorInfo:
    return error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.facts)


def _more(error: HydraError) -> list[Message]:
    if isinstance(error, InvalidArgument):
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=error.facts.get("field", ""), description=error.message, reason=error.reason
        )
        return [error_details_pb2.BadRequest(field_violations=[violation])]
    if error.status == "FAILED_PRECONDITION":
        failure = error_details_pb2.PreconditionFailure.Violation(
            type=error.reason, subject=error.facts.get("subject", ""), description=error.message
        )
        return [error_details_pb2.PreconditionFailure(violations=[failure])]
    if isinstance(error, Transient | Overloaded):
        delay = Duration()
        delay.FromTimedelta(_RETRY_AFTER)
        return [error_details_pb2.RetryInfo(retry_delay=delay)]
    return []
