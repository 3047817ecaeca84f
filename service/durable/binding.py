"""Serving the rpcs of a proto service as handlers of a Restate service, and calling others by name.

The proto decides: service and handler names, message types, whether the service is keyed, and which of its handlers
are shared (01 · 3).
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import structlog
from google.protobuf import descriptor_pool, json_format
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from restate import Context, InvocationRetryPolicy, RestateDurableCallFuture, Service, TerminalError, VirtualObject
from restate.serde import BytesSerde

from service.durable.payload import decode, encode
from service.durable.terminal import from_terminal, to_terminal
from service.errors import HydraError

log = structlog.get_logger(__name__)

Handler = Callable[[Any, Any], Awaitable[Message]]
Served = Service | VirtualObject

# About a day in all, as the reference's policy, but a blip costs a fraction of a second instead of a minute, and what
# comes back after an outage is found within seconds (05 · 8): the pauses grow on over several crashes of a worker.
PATIENT = InvocationRetryPolicy(
    initial_interval=timedelta(milliseconds=100),
    exponentiation_factor=2.0,
    max_interval=timedelta(seconds=5),
    max_attempts=17_300,
    on_max_attempts="kill",
)


@dataclass(frozen=True)
class HandlerOptions:
    """How Restate treats a handler's attempts and results."""

    # While a step waits outside (a health gate, a build), nothing is journaled: these bound that silence (05 · 7).
    inactivity_timeout: timedelta = timedelta(minutes=5)
    abort_timeout: timedelta = timedelta(minutes=15)
    retries: InvocationRetryPolicy = field(default_factory=lambda: PATIENT)
    retention: timedelta | None = None  # of results and journals; None: the server's


_DEFAULT = HandlerOptions()


def service(
    name: str, handlers: Mapping[str, Handler], options: HandlerOptions = _DEFAULT, *, public: bool = False
) -> Served:
    """Build the Restate service for proto service `name`, with one handler per entry (rpc name → function)."""
    kind = VirtualObject if _option(_service(name), "service_type") == "VIRTUAL_OBJECT" else Service
    served = kind(
        name,
        ingress_private=not public,
        inactivity_timeout=options.inactivity_timeout,
        abort_timeout=options.abort_timeout,
        invocation_retry_policy=options.retries,
        journal_retention=options.retention,
        idempotency_retention=options.retention,
    )
    for rpc, function in handlers.items():
        _serve(served, _service(name).methods_by_name[rpc], function)
    return served


def _serve(served: Served, method: MethodDescriptor, function: Handler) -> None:
    request_type = GetMessageClass(method.input_type)

    async def handler(ctx: Context, body: bytes) -> bytes:
        try:
            request = decode(body, ctx.request().headers.get("content-type"), request_type)
            response = await function(ctx, request)
        except HydraError as error:
            log.info("operation refused", rpc=method.full_name, operation=ctx.request().id, reason=error.reason)
            raise to_terminal(error) from None
        return encode(response)

    form: dict[str, Any] = {
        "name": method.name,
        "accept": "*/*",
        "content_type": "application/json",
        "input_serde": BytesSerde(),
        "output_serde": BytesSerde(),
    }
    if isinstance(served, VirtualObject):
        form["kind"] = "shared" if _option(method, "handler_type") == "SHARED" else "exclusive"
    served.handler(**form)(handler)


def _option(of: ServiceDescriptor | MethodDescriptor, name: str) -> str:
    found: str = json_format.MessageToDict(of.GetOptions()).get(f"[dev.restate.sdk.go.{name}]", "")
    return found


def _service(name: str) -> ServiceDescriptor:
    found: ServiceDescriptor = descriptor_pool.Default().FindServiceByName(name)
    return found


class Call:
    """A call to another handler that is under way; awaiting it gives the response message."""

    def __init__(self, future: RestateDurableCallFuture[bytes], response_type: type[Message]) -> None:
        self._future = future
        self._response_type = response_type

    async def response(self) -> Any:
        """Wait for the answer. Raises what the handler raised, as an error of our tree."""
        try:
            return decode(await self._future, "application/json", self._response_type)
        except TerminalError as error:
            raise from_terminal(error) from None


@dataclass(frozen=True)
class Address:
    """A handler, by full service name, rpc name and the key of its object; a plain service has none."""

    service: str
    rpc: str
    key: str | None = None


def call(ctx: Any, to: Address, request: Message) -> Call:
    """Start a call by service name and payload alone: the callee may be the Go worker's (01 · 2)."""
    method = _service(to.service).methods_by_name[to.rpc]
    future = ctx.generic_call(to.service, to.rpc, encode(request), key=to.key)
    return Call(future, GetMessageClass(method.output_type))


@dataclass(frozen=True)
class Delivery:
    """When a message is to arrive, and what makes two sends of it one."""

    delay: timedelta | None = None
    idempotency_key: str | None = None


_NOW = Delivery()


def send(ctx: Any, to: Address, request: Message, delivery: Delivery = _NOW) -> None:
    """Send a message to a handler; nothing waits for it."""
    ctx.generic_send(
        to.service,
        to.rpc,
        encode(request),
        key=to.key,
        send_delay=delivery.delay,
        idempotency_key=delivery.idempotency_key,
    )
