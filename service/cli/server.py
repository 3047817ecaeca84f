"""The gRPC server that commands call: where it is, and what they show it."""

from service.cli.rollout import CALLER
from service.config import Settings, read_file
from service.rpc.address import target_of
from service.rpc.client import DeployClient
from service.rpc.credentials import ClientCredentials


def client_of(settings: Settings, address: str) -> DeployClient:
    """Make a client for `address`, without one for where `grpc.listen` says, with the credentials of `[client]`.

    Raises ConfigError for a file that cannot be read, FailedPrecondition for a token that would travel in the clear.
    """
    return DeployClient(address or target_of(settings.grpc.listen), CALLER, _credentials(settings))


def _credentials(settings: Settings) -> ClientCredentials:
    client = settings.client
    return ClientCredentials(
        token=client.token.get_secret_value(),
        tls=client.tls,
        ca=_read(client.tls_ca_file, "client.tls_ca_file"),
        cert=_read(client.tls_cert_file, "client.tls_cert_file"),
        key=_read(client.tls_key_file, "client.tls_key_file"),
        server_name=client.tls_server_name,
    )


def _read(path: str, key: str) -> bytes | None:
    return read_file(path, key) if path else None
