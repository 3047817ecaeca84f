"""Serves what a daemon asks of the one who has it build: secrets, log-ins, and whether anybody is still there.

One server for each build, on a socket in a folder of this user's own: who can connect can ask for the secrets.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from moby.buildkit.secrets.v1 import secrets_pb2, secrets_pb2_grpc
from moby.filesync.v1 import auth_pb2, auth_pb2_grpc

# As they are named to the daemon when the session is opened.
METHODS = (
    "/moby.buildkit.secrets.v1.Secrets/GetSecret",
    "/moby.filesync.v1.Auth/Credentials",
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
)


@dataclass(frozen=True)
class Credentials:
    """A log-in at a registry."""

    username: str
    password: str = field(repr=False)


@asynccontextmanager
async def serve_session(secrets: Mapping[str, bytes], credentials: Mapping[str, Credentials]) -> AsyncIterator[Path]:
    """Serve secrets by id and credentials by host or host:port; yields the path of the socket."""
    server = grpc.aio.server()
    secrets_pb2_grpc.add_SecretsServicer_to_server(_Secrets(secrets), server)
    auth_pb2_grpc.add_AuthServicer_to_server(_Auth(credentials), server)
    # Without it the daemon gives the session up within seconds, and says so only when it pushes (04 · 2.5).
    health_pb2_grpc.add_HealthServicer_to_server(HealthServicer(), server)
    with TemporaryDirectory(prefix="buildkit-") as folder:
        path = Path(folder) / "s"
        server.add_insecure_port(f"unix:{path}")
        await server.start()
        try:
            yield path
        finally:
            await server.stop(None)


class _Secrets(secrets_pb2_grpc.SecretsServicer):
    def __init__(self, secrets: Mapping[str, bytes]) -> None:
        self._secrets = secrets

    async def GetSecret(  # noqa: N802 - the proto's name
        self, request: secrets_pb2.GetSecretRequest, context: Any
    ) -> secrets_pb2.GetSecretResponse:
        if request.ID not in self._secrets:
            await context.abort(grpc.StatusCode.NOT_FOUND, "this build has no such secret")
        return secrets_pb2.GetSecretResponse(data=self._secrets[request.ID])


class _Auth(auth_pb2_grpc.AuthServicer):
    def __init__(self, credentials: Mapping[str, Credentials]) -> None:
        self._credentials = credentials

    async def Credentials(  # noqa: N802 - the proto's name
        self, request: auth_pb2.CredentialsRequest, _: Any
    ) -> auth_pb2.CredentialsResponse:
        known = self._credentials.get(request.Host)
        if known is None:
            return auth_pb2.CredentialsResponse()  # an anonymous visit
        return auth_pb2.CredentialsResponse(Username=known.username, Secret=known.password)
