"""A registry of images that the fake BuildKit pushes to: what it takes to find one again, and a password."""

import json
from base64 import b64encode
from hashlib import sha256
from typing import Any, Self

from aiohttp import web

USERNAME, PASSWORD = "x-token", "planted registry password"


class FakeRegistry:
    """Images by `name:tag`; a later push of a tag replaces the earlier. `pushes` are all that there were, in order."""

    def __init__(self) -> None:
        self.pushes: list[str] = []
        self._manifests: dict[str, bytes] = {}
        self._blobs: dict[str, bytes] = {}
        self._runner: web.AppRunner
        self.host = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get(r"/v2/{name:.+}/manifests/{tag}", self._manifest)
        app.router.add_get(r"/v2/{name:.+}/blobs/{digest}", self._blob)
        self._runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.host = f"127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def push(self, image: str, labels: dict[str, str]) -> str:
        """Take an image with these labels, and return its digest."""
        config = json.dumps({"config": {"Labels": labels}, "push": len(self.pushes)}).encode()
        manifest = json.dumps({"schemaVersion": 2, "config": {"digest": _digest(config)}}).encode()
        self._blobs[_digest(config)] = config
        self._manifests[image.removeprefix(f"{self.host}/")] = manifest
        self.pushes.append(image)
        return _digest(manifest)

    def digest(self, image: str) -> str | None:
        manifest = self._manifests.get(image.removeprefix(f"{self.host}/"))
        return None if manifest is None else _digest(manifest)

    async def _manifest(self, request: web.Request) -> web.Response:
        return _answer(request, self._manifests.get(f"{request.match_info['name']}:{request.match_info['tag']}"))

    async def _blob(self, request: web.Request) -> web.Response:
        return _answer(request, self._blobs.get(request.match_info["digest"]))


def _digest(content: bytes) -> str:
    return f"sha256:{sha256(content).hexdigest()}"


def _answer(request: web.Request, content: Any) -> web.Response:
    account = b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode()
    if request.headers.get("authorization") != f"Basic {account}":
        return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="registry"'})
    return web.Response(body=content) if content is not None else web.Response(status=404)
