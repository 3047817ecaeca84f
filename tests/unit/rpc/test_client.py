"""The client against servers that speak TLS, or do not, and ask for tokens, or do not."""

from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from hydra.v1 import deploy_pb2

from service.errors import FailedPrecondition, HydraError, InvalidArgument, PermissionDenied, Unauthenticated
from service.rpc.client import DeployClient
from service.rpc.credentials import ClientCredentials
from service.rpc.failure import CallFailed
from tests.servers.certificates import Authority
from tests.servers.deploy_service import Server, serving

CALLER = "tests"
TOKEN = "hydra_s3cr3t"  # noqa: S105 - opens nothing
UNNAMED = InvalidArgument("deployment_id is empty", field="deployment_id")

AUTHORITY = Authority()
STRANGER = Authority("a stranger")
PAIR = AUTHORITY.server("deploy.example.com")
CLIENT = AUTHORITY.client()
TRUSTING = ClientCredentials(ca=AUTHORITY.cert, server_name="deploy.example.com")

PLAIN: grpc.ServerCredentials | None = None
TLS = grpc.ssl_server_credentials([(PAIR.key, PAIR.cert)])
MUTUAL_TLS = grpc.ssl_server_credentials([(PAIR.key, PAIR.cert)], AUTHORITY.cert, require_client_auth=True)


async def check(server: Server, credentials: ClientCredentials) -> None:
    async with DeployClient(server.address, CALLER, credentials) as client:
        await client.check()


async def refused(server: Server, credentials: ClientCredentials) -> CallFailed:
    with pytest.raises(CallFailed) as caught:
        await check(server, credentials)
    assert TOKEN not in f"{caught.value!r} {caught.value.facts}"
    assert caught.value.__suppress_context__, "its context is gRPC's error"
    return caught.value


@pytest.mark.parametrize(
    ("tls", "credentials"), [(PLAIN, ClientCredentials()), (TLS, TRUSTING)], ids=["in the clear", "TLS"]
)
async def test_every_call_says_who_calls(tls: grpc.ServerCredentials | None, credentials: ClientCredentials) -> None:
    async with (
        serving(tls) as server,
        DeployClient(server.address, CALLER, replace(credentials, token=TOKEN)) as client,
    ):
        await client.check()
        await client.deploy(deploy_pb2.DeployRequest())
        await client.rollback(deploy_pb2.RollbackRequest())
        await client.promote(deploy_pb2.PromoteRequest())
        await client.scale_down()

    assert server.called_with.keys() == {"Check", "Deploy", "Rollback", "Promote", "ScaleDownIdlePreviewDeployments"}
    for metadata in server.called_with.values():
        assert (metadata["authorization"], metadata["x-hydra-caller"]) == (f"Bearer {TOKEN}", CALLER)


async def test_without_a_token_none_is_sent() -> None:
    async with serving(PLAIN) as server:
        await check(server, ClientCredentials())

    assert "authorization" not in server.called_with["Deploy"]


async def test_a_certificate_of_its_own_says_who_calls() -> None:
    async with serving(MUTUAL_TLS) as server:
        await check(server, replace(TRUSTING, cert=CLIENT.cert, key=CLIENT.key))

    assert server.peers == {b"client"}


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
async def test_the_systems_authorities_are_those_of_openssl(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "0a1b2c3d.0"  # in a folder, they are called by a hash
    file.write_bytes(AUTHORITY.cert)
    places = {"SSL_CERT_FILE": str(tmp_path / "none"), "SSL_CERT_DIR": str(tmp_path)}
    places |= {"SSL_CERT_FILE": str(file)} if variable == "SSL_CERT_FILE" else {}
    for name, place in places.items():
        monkeypatch.setenv(name, place)

    async with serving(TLS) as server:
        await check(server, ClientCredentials(tls=True, server_name="deploy.example.com"))


@pytest.mark.parametrize("address", ["10.0.0.1:9090", "deploy.example.com:443", "[2001:db8::1]:9090"])
async def test_a_token_does_not_leave_this_machine_in_the_clear(address: str) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        DeployClient(address, CALLER, ClientCredentials(TOKEN))

    assert caught.value.reason == "TOKEN_NEEDS_TLS"
    assert caught.value.message == (
        f"the token of client.token is not sent to {address} in the clear: set client.tls_ca_file, or client.tls = true"
    )
    await DeployClient(address, CALLER, ClientCredentials(TOKEN, tls=True)).__aexit__(None, None, None)


def test_no_secret_shows_when_credentials_are_printed() -> None:
    assert "s3cr3t" not in repr(ClientCredentials(TOKEN, key=b"s3cr3t"))


OTHERS = STRANGER.client()
UNTRUSTED = (
    "shows a certificate that is not trusted, unable to get local issuer certificate: look at client.tls_ca_file"
)
MISNAMED = "shows a certificate for another name: look at client.tls_server_name"
NO_TLS = "speaks no TLS: look at client.tls and client.tls_ca_file"
NO_PEM = "cannot be called with this TLS: client.tls_ca_file, client.tls_cert_file and client.tls_key_file have to be"
PERHAPS_TLS = "closes the connection: if it speaks TLS, set client.tls_ca_file, or client.tls = true"
NO_CERT = "closes the connection: if it wants a certificate, set client.tls_cert_file and client.tls_key_file"
STRANGE_CERT = "closes the connection: it may not trust the certificate of client.tls_cert_file"


@pytest.mark.parametrize(
    ("tls", "credentials", "reason", "words"),
    [
        (TLS, replace(TRUSTING, ca=STRANGER.cert), "TLS_FAILED", UNTRUSTED),
        (TLS, replace(TRUSTING, server_name=""), "TLS_FAILED", MISNAMED),
        (TLS, replace(TRUSTING, ca=b"no PEM"), "TLS_FAILED", NO_PEM),
        (TLS, replace(TRUSTING, cert=CLIENT.cert, key=OTHERS.key), "TLS_FAILED", NO_PEM),
        (PLAIN, TRUSTING, "TLS_FAILED", NO_TLS),
        (TLS, ClientCredentials(), "CONNECTION_CLOSED", PERHAPS_TLS),
        (MUTUAL_TLS, TRUSTING, "CONNECTION_CLOSED", NO_CERT),
        (MUTUAL_TLS, replace(TRUSTING, cert=OTHERS.cert, key=OTHERS.key), "CONNECTION_CLOSED", STRANGE_CERT),
    ],
    ids=[
        *("other CA", "other name", "no PEM", "other key"),
        *("server without TLS", "client without TLS", "no certificate", "a stranger's certificate"),
    ],
)
async def test_what_keeps_a_connection_from_coming_about_is_said(
    tls: grpc.ServerCredentials | None, credentials: ClientCredentials, reason: str, words: str
) -> None:
    async with serving(tls) as server:
        failure = await refused(server, credentials)

    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, reason)
    assert failure.message.startswith(f"the gRPC server at {server.address} {words}")
    assert "\n" not in failure.message


@pytest.mark.parametrize(
    ("error", "token", "advice"),
    [
        (Unauthenticated("this call needs a token", reason="TOKEN_MISSING"), "", "set client.token_file or client"),
        (Unauthenticated("unknown token", reason="TOKEN_UNKNOWN"), TOKEN, "look at client.token_file or client"),
        (
            PermissionDenied("the role is read", reason="ROLE_INSUFFICIENT"),
            TOKEN,
            "look at client.token_file or client",
        ),
    ],
    ids=lambda each: getattr(each, "reason", None),
)
async def test_a_token_that_is_not_taken_is_found(error: HydraError, token: str, advice: str) -> None:
    async with serving(PLAIN, error) as server:
        failure = await refused(server, ClientCredentials(token))

    assert (failure.code.name, failure.reason) == (error.status, error.reason)
    assert failure.message == f"{error.message}; {advice}.token"


async def test_a_check_asks_for_nothing_and_is_content_with_a_refusal_of_that() -> None:
    async with serving(PLAIN, UNNAMED) as server:
        await check(server, ClientCredentials())

    assert server.called_with.keys() == {"Check", "Deploy"}


async def test_a_server_whose_health_is_off_is_asked_all_the_same() -> None:
    async with serving(PLAIN, UNNAMED, health=False) as server:
        await check(server, ClientCredentials())

    assert "Deploy" in server.called_with
