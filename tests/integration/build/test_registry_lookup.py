"""Looking up a pushed image: on the real registry, and on one that answers as registries with tokens do."""

import json
import secrets
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from hashlib import sha256

import httpx
import pytest
from aiohttp import web

from service.build.registry import Registry, RegistryAccess
from service.dev.registry import RegistryServer
from service.errors import FailedPrecondition, Transient

LABELS = {"hydra.v1.operation": "inv_1"}
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


def access(server: RegistryServer) -> RegistryAccess:
    return RegistryAccess(server.host, server.account.username, server.account.password, insecure=True)


def manifest_of(config: bytes) -> bytes:
    digest = f"sha256:{sha256(config).hexdigest()}"
    described = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": len(config)}
    return json.dumps({"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": described, "layers": []}).encode()


async def push(server: RegistryServer, name: str, tag: str) -> str:
    """Push an image without layers, as the distribution API has it; returns the digest that the registry gives it."""
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Labels": LABELS}}).encode()
    login = (server.account.username, server.account.password)
    async with httpx.AsyncClient(base_url=f"http://{server.host}", auth=login) as http:
        begun = await http.post(f"/v2/{name}/blobs/uploads/")
        digest = f"sha256:{sha256(config).hexdigest()}"
        await http.put(httpx.URL(begun.headers["location"]).copy_merge_params({"digest": digest}), content=config)
        headers = {"content-type": MANIFEST_TYPE}
        stored = await http.put(f"/v2/{name}/manifests/{tag}", content=manifest_of(config), headers=headers)
        return str(stored.raise_for_status().headers["docker-content-digest"])


async def test_an_image_is_found_with_its_digest_and_labels(registry: RegistryServer) -> None:
    name = f"team/{secrets.token_hex(4)}"
    digest = await push(registry, name, "tag-1")
    looking = Registry(access(registry))

    found = await looking.find(f"{registry.host}/{name}:tag-1")
    missing = await looking.find(f"{registry.host}/{name}:tag-2")
    await looking.close()

    assert found is not None
    assert (found.digest, found.labels) == (digest, LABELS)
    assert missing is None


async def test_a_wrong_password_is_for_the_operator(registry: RegistryServer) -> None:
    looking = Registry(replace(access(registry), password="wrong"))  # noqa: S106 - that is the case
    with pytest.raises(FailedPrecondition) as refused:
        await looking.find(f"{registry.host}/team/shop:1")
    await looking.close()

    assert refused.value.reason == "REGISTRY_AUTH_FAILED"
    assert "wrong" not in refused.value.message


@asynccontextmanager
async def guarded(*, refuses: int = 0, body: bytes | None = None) -> AsyncIterator[tuple[str, list[str]]]:
    """Run a registry that wants a token from its own realm; gives its host, and what the realm was asked for."""
    config = json.dumps({"config": {"Labels": LABELS}}).encode()
    asked: list[str] = []
    left = refuses

    async def answer(request: web.Request) -> web.Response:
        nonlocal left
        if left > 0:
            left -= 1
            return web.Response(status=503)
        if request.headers.get("authorization") != "Bearer t0ken":
            realm = f'Bearer realm="http://{request.host}/token",service="reg",scope="repository:dp/x:pull"'
            return web.Response(status=401, headers={"www-authenticate": realm})
        if "/blobs/" in request.path:
            return web.Response(body=config)
        return web.Response(body=manifest_of(config) if body is None else body)

    async def token(request: web.Request) -> web.Response:
        asked.append(request.query["scope"])
        known = b64decode(request.headers["authorization"].removeprefix("Basic ")) == b"x-token:secret"
        return web.json_response({"token": "t0ken"}) if known else web.Response(status=401)

    app = web.Application()
    app.router.add_get("/token", token)
    app.router.add_get("/v2/{rest:.+}", answer)
    runner = web.AppRunner(app, handle_signals=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"{host}:{port}", asked
    finally:
        await runner.cleanup()


async def test_a_token_is_asked_for_where_the_registry_says() -> None:
    async with guarded() as (host, asked):
        looking = Registry(RegistryAccess(host, "x-token", "secret", insecure=True))
        found = await looking.find(f"{host}/dp/x:1")
        await looking.close()

    assert found is not None
    assert found.labels == LABELS
    assert set(asked) == {"repository:dp/x:pull"}


async def test_a_realm_that_refuses_the_password_is_for_the_operator() -> None:
    async with guarded() as (host, _):
        looking = Registry(RegistryAccess(host, "x-token", "wrong", insecure=True))
        with pytest.raises(FailedPrecondition):
            await looking.find(f"{host}/dp/x:1")
        await looking.close()


async def test_a_password_goes_nowhere_without_tls() -> None:
    """A registry that is asked over TLS may not send us to a realm without it."""
    async with guarded() as (host, asked):
        looking = Registry(RegistryAccess(host, "x-token", "secret", insecure=False))
        with pytest.raises((FailedPrecondition, Transient)):
            await looking.find(f"{host}/dp/x:1")
        await looking.close()

    assert asked == []


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"x" * (5 * 1024 * 1024)], ids=["none", "html", "list", "huge"]
)
async def test_an_answer_that_is_no_manifest_is_trouble_that_passes_or_nothing(body: bytes) -> None:
    async with guarded(body=body) as (host, _):
        looking = Registry(RegistryAccess(host, "x-token", "secret", insecure=True))
        with pytest.raises(Transient) as passing:
            await looking.find(f"{host}/dp/x:1")
        await looking.close()

    assert passing.value.reason == "REGISTRY_UNAVAILABLE"


async def test_a_registry_that_is_away_or_in_trouble_is_asked_again_later() -> None:
    async with guarded(refuses=1) as (host, _):
        looking = Registry(RegistryAccess(host, "x-token", "secret", insecure=True))
        with pytest.raises(Transient):
            await looking.find(f"{host}/dp/x:1")
        assert await looking.find(f"{host}/dp/x:1") is not None
    with pytest.raises(Transient):
        await looking.find(f"{host}/dp/x:1")
    await looking.close()
