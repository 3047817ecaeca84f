import stat

import grpc

from service.build.buildkit import Credentials
from service.build.buildkit.session import METHODS, serve_session


async def code_of(channel: grpc.aio.Channel, method: str) -> grpc.StatusCode:
    """Call a method with an empty message, whatever it takes, and return how that went."""
    call = channel.unary_stream(method, request_serializer=bytes, response_deserializer=bytes)
    try:
        async for _ in call(b"", timeout=10):
            return grpc.StatusCode.OK
    except grpc.aio.AioRpcError as error:
        return error.code()
    raise AssertionError(method)


async def test_what_the_daemon_is_told_of_is_served_and_nothing_else() -> None:
    async with serve_session({}, {}) as path, grpc.aio.insecure_channel(f"unix:{path}") as channel:
        assert [await code_of(channel, method) for method in METHODS] == [
            grpc.StatusCode.NOT_FOUND,  # a secret without a name
            grpc.StatusCode.OK,
            grpc.StatusCode.OK,
            grpc.StatusCode.OK,
        ]
        for method in ("/moby.filesync.v1.Auth/FetchToken", "/moby.filesync.v1.FileSync/DiffCopy"):
            assert await code_of(channel, method) is grpc.StatusCode.UNIMPLEMENTED


async def test_only_this_user_can_reach_the_secrets() -> None:
    async with serve_session({"a": b"secret"}, {"host": Credentials("user", "password")}) as path:
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert path.is_socket()
    assert not path.parent.exists()
