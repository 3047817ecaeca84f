"""What a call to a gRPC server ended with, as an error for people that says what to look at."""

import re
from collections.abc import Iterable
from contextlib import suppress
from typing import cast

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from service.errors import HydraError
from service.rpc.credentials import ClientCredentials
from service.rpc.status import DETAILS_KEY

_AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)

# gRPC has one status for all that keeps a connection from coming about; the rest is in its text.
_TLS = {
    r"Hostname Verification": "shows a certificate for another name: look at client.tls_server_name",
    r"CERTIFICATE_VERIFY_FAILED: ([\w ]+)": "shows a certificate that is not trusted, {}: look at client.tls_ca_file",
    r"WRONG_VERSION_NUMBER": "speaks no TLS: look at client.tls and client.tls_ca_file",
    r"create security handshaker": (
        "cannot be called with this TLS: client.tls_ca_file, client.tls_cert_file and client.tls_key_file have to be "
        "certificates and a key in PEM, and the key that of the certificate"
    ),
    r"handshake failed": "cannot agree on TLS with this client: look at client.tls_*",
}
_CLOSED = re.compile(r"failed to connect to all addresses.*(Socket closed|Connection reset|Broken pipe)", re.DOTALL)


class CallFailed(HydraError):
    """A call came back with an error, or not at all; `code` is its gRPC status, `facts` the ErrorInfo's metadata."""

    def __init__(self, code: grpc.StatusCode, message: str, reason: str) -> None:
        super().__init__(message, reason=reason)
        self.code = code


def failure_of(error: grpc.aio.AioRpcError, address: str, credentials: ClientCredentials) -> CallFailed:
    """Turn what a call to `address` ended with into an error for people."""
    code = error.code()
    info = error_info(error)
    if info is not None:
        failure = CallFailed(code, (error.details() or "") + _advice(code, credentials), info.reason)
        failure.facts = dict(info.metadata)
        return failure
    if code in _AWAY:
        return _unreachable(code, error.details() or "", address, credentials)
    said = f"the gRPC server at {address} answered {code.name}: {error.details()}"
    return CallFailed(code, said + _advice(code, credentials), code.name)


def _advice(code: grpc.StatusCode, credentials: ClientCredentials) -> str:
    """Say where the token is, if that is the matter."""
    if code is grpc.StatusCode.UNAUTHENTICATED:
        return f"; {'look at' if credentials.token else 'set'} client.token_file or client.token"
    if code is grpc.StatusCode.PERMISSION_DENIED and credentials.token:
        return "; look at client.token_file or client.token"
    return ""


def _unreachable(code: grpc.StatusCode, details: str, address: str, credentials: ClientCredentials) -> CallFailed:
    server = f"the gRPC server at {address}"
    for pattern, words in _TLS.items():
        if found := re.search(pattern, details):
            return CallFailed(code, f"{server} {words.format(*found.groups())}", "TLS_FAILED")
    if _CLOSED.search(details):  # it does not say why
        return CallFailed(code, f"{server} closes the connection: {_missing(credentials)}", "CONNECTION_CLOSED")
    message = f"no gRPC server answers at {address}: is `hydra-deploy serve` running?"
    return CallFailed(code, message, "GRPC_UNREACHABLE")


def _missing(credentials: ClientCredentials) -> str:
    if not credentials.uses_tls:
        return "if it speaks TLS, set client.tls_ca_file, or client.tls = true"
    if credentials.cert is None:
        return "if it wants a certificate, set client.tls_cert_file and client.tls_key_file"
    return "it may not trust the certificate of client.tls_cert_file"


def error_info(error: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo | None:
    """Read the ErrorInfo of an error (01 · 4); None where the server is not one of ours, or nothing answered."""
    trailing = cast(Iterable[tuple[str, bytes]], error.trailing_metadata() or ())
    for key, value in trailing:
        if key == DETAILS_KEY:
            with suppress(DecodeError):
                return _first_info(status_pb2.Status.FromString(value))
    return None


def _first_info(status: status_pb2.Status) -> error_details_pb2.ErrorInfo | None:
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return info
    return None
