"""Keeping a copy of an app's OpenAPI document: after every deploy, from an instance of a local stack (02 · 9)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from hydra.v1 import openapi_pb2

from service.database import tables
from service.dev.world import RuntimeSpec
from service.errors import FailedPrecondition, InvalidArgument, NotFound
from tests.inside_caller import InsideCaller
from tests.installation import Installation
from tests.waiting import until

SERVICE = "hydra.v1.OpenapiService"
PATH = "/openapi.json"
DOCUMENT = b'{"openapi": "3.1.0", "info": {"title": "Shoes", "version": "1"}}'


@dataclass
class App:
    """An instance of an app: what it answers, and what it was asked."""

    status: int = 200
    content: bytes = DOCUMENT
    address: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.path, request.headers.get("X-Deployment-Id", "")))
        return web.Response(status=self.status, body=self.content)

    async def was_asked(self) -> bool:
        return bool(self.asked)


@asynccontextmanager
async def serving(app: App) -> AsyncIterator[App]:
    routes = web.Application()
    routes.router.add_get("/{path:.*}", app.answer)
    runner = web.AppRunner(routes, handle_signals=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    app.address = f"{host}:{port}"
    try:
        yield app
    finally:
        await runner.cleanup()


@pytest.fixture(scope="module")
async def inside(installation: Installation) -> AsyncIterator[InsideCaller]:
    async with InsideCaller(installation) as caller:
        yield caller


async def scrape(inside: InsideCaller, deployment_id: str) -> None:
    await inside.call(SERVICE, "ScrapeSpec", "", openapi_pb2.ScrapeSpecRequest(deployment_id=deployment_id))


async def deployed(installation: Installation, app: App, path: str | None = PATH) -> str:
    """Deploy an app with one instance, which is at the address of `app` by the time its document is looked for."""
    world = await installation.world(regions=("us-east-1",), runtime=RuntimeSpec(openapi_spec_path=path))
    async with installation.held("find document.before"):
        deployment_id = await installation.deployed(world)
        await installation.set(tables.instances, {"deployment_id": deployment_id}, address=app.address)
    return deployment_id


async def kept(installation: Installation, deployment_id: str) -> list[dict[str, Any]]:
    return await installation.rows(tables.openapi_specs, deployment_id=deployment_id)


async def test_a_deploy_keeps_the_document_of_its_app(installation: Installation) -> None:
    async with serving(App()) as app:
        deployment_id = await deployed(installation, app)

        async def is_kept() -> bool:
            return bool(await kept(installation, deployment_id))

        await until(is_kept)
    (spec,) = await kept(installation, deployment_id)
    deployment = await installation.row(tables.deployments, id=deployment_id)

    assert app.asked == [(PATH, deployment_id)]
    assert spec["content"] == DOCUMENT
    assert spec["id"].startswith("oas_")
    assert spec["workspace_id"] == deployment["workspace_id"]
    assert spec["portal_config_id"] is None
    assert spec["created_at"] == spec["updated_at"]


async def test_a_newer_document_takes_the_place_of_the_older(installation: Installation, inside: InsideCaller) -> None:
    async with serving(App(status=404)) as app:
        deployment_id = await deployed(installation, app)
        await until(app.was_asked)
        app.status = 200
        await scrape(inside, deployment_id)
        (first,) = await kept(installation, deployment_id)
        app.content = b"openapi: 3.1.0\ninfo: {title: Boots, version: '2'}\n"
        await scrape(inside, deployment_id)

    (second,) = await kept(installation, deployment_id)
    assert second["content"] == app.content
    assert (second["id"], second["created_at"]) == (first["id"], first["created_at"])
    assert second["updated_at"] >= first["updated_at"]


@pytest.mark.parametrize("path", [None, ""])
async def test_an_app_without_a_path_is_not_asked(
    installation: Installation, inside: InsideCaller, path: str | None
) -> None:
    async with serving(App()) as app:
        deployment_id = await deployed(installation, app, path=path)
        await scrape(inside, deployment_id)
    assert app.asked == []
    assert await kept(installation, deployment_id) == []


async def test_a_document_that_is_not_there_is_no_failure(installation: Installation, inside: InsideCaller) -> None:
    async with serving(App(status=404)) as app:
        deployment_id = await deployed(installation, app)
        await scrape(inside, deployment_id)
    assert await kept(installation, deployment_id) == []


async def test_a_deployment_without_a_name_of_its_own_is_not_asked(
    installation: Installation, inside: InsideCaller
) -> None:
    async with serving(App(status=404)) as app:
        deployment_id = await deployed(installation, app)
        await until(app.was_asked)
        await installation.set(
            tables.frontline_routes, {"deployment_id": deployment_id, "sticky": "deployment"}, deployment_id="d_other"
        )
        app.status = 200
        await scrape(inside, deployment_id)
    assert await kept(installation, deployment_id) == []


@pytest.mark.parametrize(
    ("path", "content", "reason"),
    [
        ("//elsewhere.example.com/", DOCUMENT, "OPENAPI_PATH_INVALID"),
        ("/../admin", DOCUMENT, "OPENAPI_PATH_INVALID"),
        (PATH, b"<html><body>Shoes</body></html>", "OPENAPI_INVALID"),
        (PATH, b"{" + b" " * (5 << 20) + b"}", "OPENAPI_TOO_LARGE"),
    ],
)
async def test_what_is_no_document_is_refused_at_once(
    installation: Installation, inside: InsideCaller, path: str, content: bytes, reason: str
) -> None:
    async with serving(App(content=content)) as app:
        deployment_id = await deployed(installation, app, path=path)
        with pytest.raises(FailedPrecondition) as raised:
            await scrape(inside, deployment_id)
    assert raised.value.reason == reason
    assert await kept(installation, deployment_id) == []


async def test_who_does_not_exist_is_not_found(inside: InsideCaller) -> None:
    with pytest.raises(NotFound) as raised:
        await scrape(inside, "d_of_nobody")
    assert raised.value.reason == "DEPLOYMENT_NOT_FOUND"
    with pytest.raises(InvalidArgument):
        await scrape(inside, "")


async def test_an_app_that_is_not_up_yet_is_asked_again_in_a_minute(installation: Installation) -> None:
    async with serving(App(status=503)) as app:
        deployment_id = await deployed(installation, app)

        async def waits() -> bool:
            return bool(await backing_off(installation, app))

        await until(waits)
    assert await kept(installation, deployment_id) == []


async def backing_off(installation: Installation, app: App) -> list[dict[str, Any]]:
    """Find scrapes that failed a minute before their next try, once this app was asked."""
    if not app.asked:
        return []
    return await installation.admin_query(
        "select id from sys_invocation where target_service_name = 'hydra.v1.OpenapiService' "
        "and status = 'backing-off' and next_retry_at > last_start_at + interval '30 seconds'"
    )
