"""Calling private handlers, and reading and writing the state that they keep in Restate.

Private handlers answer to other handlers alone. So the tests serve one of their own, public, that passes a
call on through `service.durable.binding`, as the workflows do it.
"""

import asyncio
import json
import signal
import uuid
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self, cast

from google.protobuf import descriptor_pool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from restate import ObjectSharedContext, VirtualObject
from restate.server import install_shutdown_hook

from service import errors
from service.dev.ports import free_ports
from service.durable.binding import Address, call
from service.durable.endpoint import Address as ListenAddress
from service.durable.endpoint import Endpoint
from service.durable.payload import decode, encode
from service.durable.registration import Registration
from service.durable.terminal import to_terminal
from service.errors import HydraError
from tests.installation import Installation
from tests.waiting import until

_SERVICE = "tests.InsideCaller"


def _methods(service: str, rpc: str) -> Any:
    return descriptor_pool.Default().FindServiceByName(service).methods_by_name[rpc]


def _relay() -> VirtualObject:
    """Build the object whose only handler passes on the call that its body describes."""
    relay = VirtualObject(_SERVICE)

    @relay.handler(name="Call", kind="shared")
    async def call_inside(ctx: ObjectSharedContext, wanted: dict[str, str]) -> str:
        request_type = GetMessageClass(_methods(wanted["service"], wanted["rpc"]).input_type)
        request = decode(wanted["request"].encode(), "application/json", request_type)
        to = Address(wanted["service"], wanted["rpc"], wanted["key"] or None)  # a plain service has no keys
        try:
            return encode(await call(ctx, to, request).response()).decode()
        except HydraError as error:
            raise to_terminal(error) from None

    return relay


def end_by_signal() -> None:
    """End the test run by SIGTERM, which the SDK has taken over."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.raise_signal(signal.SIGTERM)


class InsideCaller:
    """Serves the relay from this process, registered at the installation's Restate."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        (port,) = free_ports(1)
        self._endpoint = Endpoint([_relay()], "tests", {}, ListenAddress("127.0.0.1", port))
        self._uri = f"http://127.0.0.1:{port}{self._endpoint.path}"

    async def __aenter__(self) -> Self:
        # The SDK takes SIGTERM from the process that serves (05 · 3): the test run is to end by it all the same.
        install_shutdown_hook(asyncio.get_running_loop(), end_by_signal, signal.SIGTERM)
        self._endpoint.start()
        await Registration(self._installation.stack.restate.admin_url, self._uri).register()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._endpoint.stop()

    async def call(self, service: str, rpc: str, key: str, request: Message) -> Any:
        """Call a handler from inside Restate and return its response message.

        Raises what the handler raised, as an error of the service's tree.
        """
        wanted = {"service": service, "rpc": rpc, "key": key, "request": encode(request).decode()}
        answer = await self._installation.ingress(f"/{_SERVICE}/{uuid.uuid4()}/Call", wanted)
        if answer.status != 200:
            raise errors.load(answer.body["message"], answer.body.get("metadata", {})) or AssertionError(answer)
        response_type = GetMessageClass(_methods(service, rpc).output_type)
        return decode(cast("str", answer.body).encode(), "application/json", response_type)

    async def state(self, service: str, key: str) -> dict[str, Any]:
        """Read an object's state: name → value, read as JSON."""
        rows = await self._installation.admin_query("select service_name, service_key, key, value_utf8 from state")
        return {
            row["key"]: json.loads(row["value_utf8"])
            for row in rows
            if (row["service_name"], row["service_key"]) == (service, key)
        }

    async def set_state(self, service: str, key: str, state: Mapping[str, Any]) -> None:
        """Replace an object's state, as another worker would have written it: JSON without spaces, as Go writes it."""
        values = {name: list(json.dumps(value, separators=(",", ":")).encode()) for name, value in state.items()}
        url = f"{self._installation.stack.restate.admin_url}/services/{service}/state"
        async with self._installation.http.post(url, json={"object_key": key, "new_state": values}) as answer:
            assert answer.status == 202, await answer.text()

        async def applied() -> bool:
            return await self.state(service, key) == state

        await until(applied)
