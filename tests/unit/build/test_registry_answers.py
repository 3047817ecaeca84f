"""What a registry answers, read: whatever it is, an error of ours or nothing."""

import json
from collections.abc import Mapping

import pytest
from aiohttp import web

from service.build.registry import Registry, RegistryAccess
from service.errors import FailedPrecondition, Transient
from tests.servers.stray import stray

DIGEST = "sha256:" + "0" * 64
MANIFEST = json.dumps({"config": {"digest": DIGEST}})


async def labels(config: str) -> Mapping[str, str]:
    """Look an image up whose configuration is that."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=config if "/blobs/" in request.path else MANIFEST)

    async with stray(answer) as url:
        host = url.removeprefix("http://")
        registry = Registry(RegistryAccess(host, insecure=True))
        try:
            found = await registry.find(f"{host}/team/app:1")
        finally:
            await registry.close()
    assert found is not None
    return found.labels


@pytest.mark.parametrize(
    "config", ["null", "[]", "{}", '{"config": null}', '{"config": []}', '{"config": {"Labels": ["a"]}}']
)
async def test_a_configuration_of_another_shape_has_no_labels(config: str) -> None:
    assert await labels(config) == {}


async def test_labels_are_texts() -> None:
    assert await labels('{"config": {"Labels": {"a": "b", "c": 7}}}') == {"a": "b", "c": "7"}


@pytest.mark.parametrize("config", ["<html>", "[" * 100_000], ids=["page", "deep"])
async def test_a_page_in_place_of_a_configuration_is_trouble_that_may_pass(config: str) -> None:
    with pytest.raises(Transient):
        await labels(config)


@pytest.mark.parametrize(
    "challenge", ["Bearer", 'Bearer realm="http://["', 'Bearer realm="nowhere"', 'Bearer realm=""']
)
async def test_a_challenge_that_leads_nowhere(challenge: str) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=401, headers={"www-authenticate": challenge})

    async with stray(answer) as url:
        registry = Registry(RegistryAccess(url.removeprefix("http://"), "user", "password", insecure=True))
        with pytest.raises((Transient, FailedPrecondition)):
            await registry.log_in()
        await registry.close()
