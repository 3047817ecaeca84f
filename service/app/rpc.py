"""The gRPC server as the configuration has it, and what of that is taken up while it runs."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import structlog

from service import background
from service.app.probes import Probes
from service.app.refresh import Refresh, keep_fresh
from service.config import GrpcSettings, Settings, load
from service.database.engine import Database
from service.rpc.certificates import Certificates, TlsFiles
from service.rpc.entrance import Access
from service.rpc.ingress import Ingress
from service.rpc.limits import Limits
from service.rpc.server import RpcOptions, RpcServer
from service.rpc.tokens import Role, Token, Tokens

log = structlog.get_logger(__name__)


@asynccontextmanager
async def serve_rpc(settings: Settings, database: Database, probes: Probes) -> AsyncIterator[None]:
    """Serve gRPC. Raises FailedPrecondition where the address is taken or a certificate cannot be used."""
    options = _options(settings.grpc)
    ingress = Ingress(settings.restate.ingress_url)
    server = RpcServer(ingress, database, options)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(ingress.close)
        stack.push_async_callback(server.stop)
        port = await server.start()
        log.info("gRPC is served", listen=settings.grpc.listen, port=port, tls=options.certificates is not None)
        _say_how_open(options)
        probes.need(ingress.is_up)
        looking = background.forever("grpc-refresh", partial(keep_fresh, _refreshes(settings, options)))
        stack.push_async_callback(background.end, looking)
        yield


def _options(grpc: GrpcSettings) -> RpcOptions:
    files = TlsFiles(grpc.tls_cert_file, grpc.tls_key_file, grpc.tls_client_ca_file)
    return RpcOptions(
        listen=grpc.listen,
        drain_timeout=grpc.drain_timeout,
        limits=Limits(
            message_bytes=grpc.max_message_bytes,
            streams=grpc.max_concurrent_streams,
            waiting_calls=grpc.max_waiting_calls,
            keepalive_interval=grpc.keepalive_interval,
            keepalive_timeout=grpc.keepalive_timeout,
            client_ping_interval=grpc.min_client_ping_interval,
        ),
        tokens=Tokens(_tokens(grpc)),
        certificates=Certificates(files) if files.cert else None,
        health=Access(grpc.health),
        reflection=Access(grpc.reflection),
    )


def _tokens(grpc: GrpcSettings) -> list[Token]:
    return [
        Token(
            name=each.name,
            role=Role(each.role),
            sha256=bytes.fromhex(each.sha256),
            expires_ms=int(each.expires.timestamp() * 1000) if each.expires else None,
        )
        for each in grpc.tokens
    ]


def _say_how_open(options: RpcOptions) -> None:
    """Say at the start what guards the server, or that nothing does."""
    guards = {"tokens": options.tokens.required, "client certificates": _verifies_clients(options)}
    present = [name for name, there in guards.items() if there]
    if present:
        log.info("gRPC callers have to say who they are", by=present)
    else:
        log.warning(
            "gRPC callers need not say who they are: whoever reaches the server may deploy", listen=options.listen
        )


def _verifies_clients(options: RpcOptions) -> bool:
    return options.certificates is not None and options.certificates.verifies_clients


def _refreshes(settings: Settings, options: RpcOptions) -> list[Refresh]:
    refreshes = []
    if settings.source is not None:
        refreshes.append(Refresh("grpc.tokens", TokenList(settings, options.tokens).refresh))
    if options.certificates is not None:
        refreshes.append(Refresh("grpc.tls_*", options.certificates.refresh))
    return refreshes


class TokenList:
    """The tokens that the configuration file lists."""

    def __init__(self, settings: Settings, tokens: Tokens) -> None:
        self._source = settings.source
        self._listed = settings.grpc.tokens
        self._tokens = tokens

    def refresh(self) -> bool:
        """Read the file again; tell whether the list changed. Raises ConfigError, and keeps what there was."""
        grpc = load(self._source).grpc
        if grpc.tokens == self._listed:
            return False
        self._listed = grpc.tokens
        self._tokens.replace(_tokens(grpc))
        return True
