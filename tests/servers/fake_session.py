"""The daemon's end of a BuildKit session: a gRPC client on the bytes that a Session call carries."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from moby.buildkit.secrets.v1 import secrets_pb2, secrets_pb2_grpc
from moby.buildkit.v1.control_pb2 import BytesMessage
from moby.filesync.v1 import auth_pb2, auth_pb2_grpc

from tests.waiting import until

_CHUNK_BYTES = 32 * 1024
_HEALTH_EVERY_S = 0.1
_ANSWER_WITHIN_S = 10


class FakeSession:
    """A session that a client opened; `methods` are those that it says it serves.

    The client's answers come through the very call that opened the session. `health` holds what it answered, so far,
    when asked whether it is there. Setting `cut` ends the session.
    """

    def __init__(self, methods: list[str], channel: grpc.aio.Channel) -> None:
        self.methods = methods
        self.health: list[int] = []
        self.largest_slice_bytes = 0
        self.cut = asyncio.Event()
        self._channel = channel
        self._secrets: Any = secrets_pb2_grpc.SecretsStub(channel)
        self._auth: Any = auth_pb2_grpc.AuthStub(channel)
        self._health: Any = health_pb2_grpc.HealthStub(channel)

    async def secret(self, name: str) -> bytes | None:
        """Ask for a secret; None where the client has none of that name."""
        request = secrets_pb2.GetSecretRequest(ID=name)
        try:
            answer = await self._secrets.GetSecret(request, timeout=_ANSWER_WITHIN_S)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return None
            raise
        return bytes(answer.data)

    async def log_in(self, host: str) -> tuple[str, str]:
        """Ask for user and password, as the daemon does: a token first, which nobody needs to offer."""
        fetch_token: Any = self._channel.unary_unary(
            "/moby.filesync.v1.Auth/GetTokenAuthority", request_serializer=bytes, response_deserializer=bytes
        )
        try:
            await fetch_token(b"", timeout=_ANSWER_WITHIN_S)
        except grpc.aio.AioRpcError as error:
            if error.code() not in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNAVAILABLE):
                raise
        answer = await self._auth.Credentials(auth_pb2.CredentialsRequest(Host=host), timeout=_ANSWER_WITHIN_S)
        return answer.Username, answer.Secret

    async def asked_health(self, times: int) -> None:
        """Wait until the client has answered for its health so many times."""

        async def answered() -> bool:
            return len(self.health) >= times

        await until(answered)

    async def keep_asking_health(self) -> None:
        while True:
            answer = await self._health.Check(health_pb2.HealthCheckRequest(), timeout=_ANSWER_WITHIN_S)
            self.health.append(answer.status)
            await asyncio.sleep(_HEALTH_EVERY_S)


@asynccontextmanager
async def take_up(requests: AsyncIterator[BytesMessage], context: Any) -> AsyncIterator[FakeSession]:
    """Turn the call that opens a session into one; it is cut when either side ends it."""
    pumps: list[asyncio.Task[None]] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def down() -> None:
            while data := await reader.read(_CHUNK_BYTES):
                await context.write(BytesMessage(data=data))

        async def up() -> None:
            try:
                async for message in requests:
                    session.largest_slice_bytes = max(session.largest_slice_bytes, len(message.data))
                    writer.write(message.data)
                    await writer.drain()
            finally:
                writer.transport.abort()

        pumps.extend((asyncio.create_task(down()), asyncio.create_task(up())))

    methods = [value for key, value in context.invocation_metadata() if key == "x-docker-expose-session-grpc-method"]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "s"
        listener = await asyncio.start_unix_server(connected, path)
        async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
            session = FakeSession(methods, channel)
            health = asyncio.create_task(session.keep_asking_health())
            try:
                yield session
            finally:
                listener.close()
                for task in (health, *pumps):
                    task.cancel()
                await asyncio.gather(health, *pumps, return_exceptions=True)
