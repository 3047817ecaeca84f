"""A worker that Restate can register, and that does what workers must not: it answers every invocation with an error.

It speaks HTTP/1.1 and tells of services in the manifest of https://github.com/restatedev/restate, version 4.
"""

import json
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp
from aiohttp import web

from service.durable.admin import Admin
from service.errors import Transient
from tests.waiting import until

MINUTE_MS = 60_000
# As this service's own services are to be treated, unless a test configures them otherwise.
USUAL: Mapping[str, Any] = {
    "inactivityTimeout": 5 * MINUTE_MS,
    "abortTimeout": 15 * MINUTE_MS,
    "retryPolicyInitialInterval": 100,
    "retryPolicyExponentiationFactor": 2.0,
    "retryPolicyMaxInterval": 30_000,
    "retryPolicyMaxAttempts": 17300,
    "retryPolicyOnMaxAttempts": "KILL",
    "ingressPrivate": True,
}


@dataclass(frozen=True)
class FakeService:
    """A virtual object with one handler, `Do`; `settings` are keys of the manifest, on top of USUAL."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def manifest(self) -> dict[str, Any]:
        handlers = [{"name": "Do", "ty": "EXCLUSIVE"}]
        return {"name": self.name, "ty": "VIRTUAL_OBJECT", "handlers": handlers, **USUAL, **self.settings}


async def can_be_asked(admin_url: str) -> None:
    """Wait until a server that has just started tells of its invocations: its partitions come up a little later."""
    async with Admin(admin_url) as admin:

        async def told() -> bool:
            with suppress(Transient):
                return await admin.query("SELECT id FROM sys_invocation") == []
            return False

        await until(told)


class FakeWorker:
    """One worker; `path` is where its release is, such as `/r/0123456789ab`."""

    def __init__(self, services: Collection[FakeService], path: str = "") -> None:
        self._services = services
        self._path = path
        self._runner: web.AppRunner | None = None
        self.uri = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get(f"{self._path}/discover", self._discover)
        app.router.add_get(f"{self._path}/health", self._health)
        app.router.add_post(f"{self._path}/invoke/{{service}}/{{handler}}", self._invoke)
        self._runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.uri = f"http://127.0.0.1:{self._runner.addresses[0][1]}{self._path}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Stop listening; nothing where it does not."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def register(self, admin_url: str, *, force: bool = False) -> str:
        """Tell Restate of it; returns the deployment's id."""
        wanted = {"uri": self.uri, "force": force, "use_http_11": True}
        async with aiohttp.ClientSession() as http, http.post(f"{admin_url}/deployments", json=wanted) as answer:
            assert answer.ok, await answer.text()
            return str((await answer.json())["id"])

    async def _discover(self, _: web.Request) -> web.Response:
        manifest = {
            "protocolMode": "REQUEST_RESPONSE",
            "minProtocolVersion": 5,
            "maxProtocolVersion": 5,
            "services": [service.manifest() for service in self._services],
        }
        kind = {"content-type": "application/vnd.restate.endpointmanifest.v4+json"}  # as it is: with no charset
        return web.Response(body=json.dumps(manifest).encode(), headers=kind)

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _invoke(self, _: web.Request) -> web.Response:
        return web.json_response({"message": "not today"}, status=500)
