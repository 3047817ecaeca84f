import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from service.errors import (
    BuildFailed,
    Cancelled,
    FailedPrecondition,
    HydraError,
    Internal,
    InvalidArgument,
    NotFound,
    Overloaded,
    PermissionDenied,
    QuotaExceeded,
    RegionsUnhealthy,
    Transient,
    Unauthenticated,
)
from service.rpc.status import code_of, details_of

CASES: list[tuple[HydraError, grpc.StatusCode, type | None]] = [
    (InvalidArgument("m", field="image"), grpc.StatusCode.INVALID_ARGUMENT, error_details_pb2.BadRequest),
    (NotFound("m"), grpc.StatusCode.NOT_FOUND, None),
    (FailedPrecondition("m"), grpc.StatusCode.FAILED_PRECONDITION, error_details_pb2.PreconditionFailure),
    (
        BuildFailed("m", reason="BUILD_FAILED"),
        grpc.StatusCode.FAILED_PRECONDITION,
        error_details_pb2.PreconditionFailure,
    ),
    (Unauthenticated("m"), grpc.StatusCode.UNAUTHENTICATED, None),
    (PermissionDenied("m"), grpc.StatusCode.PERMISSION_DENIED, None),
    (QuotaExceeded("m"), grpc.StatusCode.RESOURCE_EXHAUSTED, None),
    (Overloaded("m"), grpc.StatusCode.RESOURCE_EXHAUSTED, error_details_pb2.RetryInfo),
    (RegionsUnhealthy("m"), grpc.StatusCode.ABORTED, None),
    (Cancelled("m"), grpc.StatusCode.CANCELLED, None),
    (Internal("m"), grpc.StatusCode.INTERNAL, None),
    (Transient("m"), grpc.StatusCode.UNAVAILABLE, error_details_pb2.RetryInfo),
]


@pytest.mark.parametrize(("error", "code", "extra"), CASES, ids=[type(error).__name__ for error, _, _ in CASES])
def test_each_class_has_its_status_and_details(error: HydraError, code: grpc.StatusCode, extra: type | None) -> None:
    status = status_pb2.Status.FromString(details_of(error))

    assert code_of(error) is code
    assert (status.code, status.message) == (code.value[0], "m")
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain) == (error.reason, "hydra.v1")
    assert [detail.type_url.rpartition(".")[2] for detail in status.details[1:]] == ([extra.__name__] if extra else [])


def test_a_bad_field_is_named() -> None:
    status = status_pb2.Status.FromString(details_of(InvalidArgument("no tag", field="docker_image.image")))
    bad = error_details_pb2.BadRequest()
    assert status.details[1].Unpack(bad)
    assert bad.field_violations[0].field == "docker_image.image"


def test_retryable_errors_say_when_to_come_back() -> None:
    status = status_pb2.Status.FromString(details_of(Transient("away")))
    retry = error_details_pb2.RetryInfo()
    assert status.details[1].Unpack(retry)
    assert retry.retry_delay.seconds == 1
