"""A gRPC server in front of another, which passes calls on as they are, and does not know some methods."""

from collections.abc import AsyncIterator
from functools import partial
from types import TracebackType
from typing import Any, Self

import grpc.aio


class Relay(grpc.GenericRpcHandler):  # type: ignore[type-arg] # generic in its stubs alone
    """Passes bytes on, whatever they mean, and answers UNIMPLEMENTED to methods whose path begins as `unknown`."""

    def __init__(self, target: str, unknown: str) -> None:
        self.called: set[str] = set()
        self.address = ""
        self._target = target
        self._unknown = unknown

    async def __aenter__(self) -> Self:
        self._channel = grpc.aio.insecure_channel(self._target)
        self._server = grpc.aio.server()
        self._server.add_generic_rpc_handlers((self,))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        await self._server.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._server.stop(None)
        await self._channel.close(None)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Serve a method as a stream of bytes both ways, which a unary one is too."""
        method = handler_call_details.method
        self.called.add(method)
        if method.startswith(self._unknown):
            return None
        return grpc.stream_stream_rpc_method_handler(partial(self._pass_on, method))

    async def _pass_on(self, method: str, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        call: Any = self._channel.stream_stream(method, None, None)(requests)
        try:
            async for answer in call:
                yield answer
        except grpc.aio.AioRpcError as error:
            context.set_trailing_metadata(error.trailing_metadata())
            await context.abort(error.code(), error.details())
