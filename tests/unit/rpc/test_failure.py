import grpc
import grpc.aio
import pytest

from service.errors import FailedPrecondition, HydraError, InvalidArgument, NotFound, RegionsUnhealthy, Transient
from service.rpc.credentials import ClientCredentials
from service.rpc.failure import error_info, failure_of
from service.rpc.status import DETAILS_KEY, code_of, details_of

ADDRESS = "127.0.0.1:9090"
ANONYMOUS = ClientCredentials()


def received(code: grpc.StatusCode, message: str, trailing: grpc.aio.Metadata | None = None) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing or grpc.aio.Metadata(), message, None)


def sent(error: HydraError) -> grpc.aio.AioRpcError:
    """Make what a client receives when the server answers with an error of ours."""
    trailing = grpc.aio.Metadata(("other", "x"), (DETAILS_KEY, details_of(error)))
    return received(code_of(error), error.message, trailing)


@pytest.mark.parametrize(
    "error",
    [
        InvalidArgument("m", field="docker_image.image"),
        NotFound("m", reason="DEPLOYMENT_NOT_FOUND"),
        FailedPrecondition("m", reason="OTHER_APP", subject="app_1"),
        RegionsUnhealthy("m", reason="REGIONS_UNHEALTHY"),
        Transient("m", reason="RESTATE_UNAVAILABLE"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_arrives_as_it_was_sent(error: HydraError) -> None:
    failure = failure_of(sent(error), ADDRESS, ANONYMOUS)
    assert (failure.code, failure.message) == (code_of(error), error.message)
    assert (failure.reason, failure.facts) == (error.reason, error.facts)


def test_a_server_that_is_not_there_is_named() -> None:
    failure = failure_of(
        received(grpc.StatusCode.UNAVAILABLE, "failed to connect to all addresses"), ADDRESS, ANONYMOUS
    )
    assert failure.reason == "GRPC_UNREACHABLE"
    assert failure.message == f"no gRPC server answers at {ADDRESS}: is `hydra-deploy serve` running?"


def test_a_handshake_that_fails_otherwise_is_still_one_of_tls() -> None:
    said = "failed to connect to all addresses; last error: UNKNOWN: Tls handshake failed: NO_COMMON_CIPHER: OK"
    failure = failure_of(received(grpc.StatusCode.UNAVAILABLE, said), ADDRESS, ANONYMOUS)
    assert failure.reason == "TLS_FAILED"
    assert failure.message == (
        f"the gRPC server at {ADDRESS} cannot agree on TLS with this client: look at client.tls_*"
    )


def test_an_answer_of_somebody_elses_server_is_quoted() -> None:
    failure = failure_of(received(grpc.StatusCode.UNIMPLEMENTED, "unknown service"), ADDRESS, ANONYMOUS)
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNIMPLEMENTED, "UNIMPLEMENTED")
    assert failure.message == f"the gRPC server at {ADDRESS} answered UNIMPLEMENTED: unknown service"


def test_details_that_cannot_be_read_are_no_details() -> None:
    trailing = grpc.aio.Metadata((DETAILS_KEY, b"\xff\xff"))
    assert error_info(received(grpc.StatusCode.INTERNAL, "m", trailing)) is None
