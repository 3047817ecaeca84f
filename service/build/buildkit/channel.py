"""Opens gRPC channels to daemons, however they are reached."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import grpc

from service.build.buildkit.address import Address, Scheme, Tls
from service.build.buildkit.dockerd import bridge_to

_MESSAGE_BYTES = 16 * 1024 * 1024  # what the daemon allows itself (04 · 1)
_RECONNECT_MS = 1000
_OPTIONS: list[tuple[str, str | int]] = [
    # An error comes with the whole Dockerfile in its trailers, and of more than these limits grpc makes another error.
    ("grpc.max_metadata_size", _MESSAGE_BYTES),
    ("grpc.absolute_max_metadata_size", _MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MESSAGE_BYTES),
    ("grpc.max_receive_message_length", _MESSAGE_BYTES),
    # A daemon is dialled directly; grpc's core would heed the proxy variables of the environment.
    ("grpc.enable_http_proxy", 0),
    # A machine that is still booting is dialled once a second, not after pauses that double up to two minutes,
    # and what another channel has found out about its address is of no concern.
    ("grpc.initial_reconnect_backoff_ms", _RECONNECT_MS),
    ("grpc.max_reconnect_backoff_ms", _RECONNECT_MS),
    ("grpc.use_local_subchannel_pool", 1),
]


@asynccontextmanager
async def open_channel(address: Address, tls: Tls | None) -> AsyncIterator[grpc.aio.Channel]:
    """Open a channel; nothing is dialled before the first call. Raises ValueError for TLS on other than tcp."""
    if tls is not None and address.scheme is not Scheme.TCP:
        raise ValueError(f"TLS is for tcp:// alone, not for {address}")
    async with AsyncExitStack() as stack:
        match address.scheme:
            case Scheme.TCP:
                channel = _dial(address.place, tls)
            case Scheme.UNIX:
                channel = _dial(f"unix:{address.place}", None)
            case Scheme.DOCKER:
                channel = _dial(f"unix:{await stack.enter_async_context(bridge_to(Path(address.place)))}", None)
        yield await stack.enter_async_context(channel)


def _dial(target: str, tls: Tls | None) -> grpc.aio.Channel:
    if tls is None:
        return grpc.aio.insecure_channel(target, options=_OPTIONS)
    credentials = grpc.ssl_channel_credentials(tls.ca, tls.key, tls.cert)
    # The machine is dialled by address, but its certificate names it otherwise (04 · 1.2).
    names = [("grpc.ssl_target_name_override", tls.server_name), ("grpc.default_authority", tls.server_name)]
    return grpc.aio.secure_channel(target, credentials, options=[*_OPTIONS, *names])
