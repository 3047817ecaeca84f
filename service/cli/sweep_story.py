"""The act of the demo that sweeps previews: of two that are old enough, the one that nobody calls is put to rest."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from hydra.v1 import deploy_pb2
from rich.console import Console

from service.analytics.dsn import parse as parse_clickhouse
from service.analytics.requests import Routed
from service.app.analytics import open_request_log
from service.cli.sandbox import IMAGE, Sandbox, done
from service.cli.scale_down import figures
from service.cli.survey import Fate, survey
from service.clock import now_ms
from service.config import DeploySettings, Settings
from service.config.values import format_duration
from service.database import history
from service.dev.visits import log_visit
from service.dev.world import DeploymentSpec, create_deployment
from service.rpc.client import DeployClient

_USUAL_TIME = format_duration(DeploySettings().idle_time)
_LOOK_SECONDS = 0.2


async def sweep(console: Console, box: Sandbox, client: DeployClient) -> None:
    """Deploy two previews, let one be called, wait until the other is idle, and sweep."""
    settings = box.stack.settings()
    called, idle = await asyncio.gather(_preview(box, client, "called"), _preview(box, client, "idle"))
    done(console, f"deployed two previews, {called} and {idle}; the first is called, the second is not")
    async with _visited(box, settings, called):  # the sweep included: it asks for itself who was called
        with console.status("waiting until the second preview is idle"):
            while True:
                if await _fates(box, settings) == {called: Fate.ACTIVE, idle: Fate.IDLE}:
                    break
                await asyncio.sleep(_LOOK_SECONDS)
        operation_id = await client.scale_down()
    operation = await box.stack.database.read(partial(history.operation, operation_id=operation_id))
    time = format_duration(settings.deploy.idle_time)
    done(console, f"{figures(operation)}: {idle}, idle for {time} (by default: {_USUAL_TIME})")


async def _preview(box: Sandbox, client: DeployClient, branch: str) -> str:
    deployment_id = await create_deployment(box.stack.database, *box.preview, DeploymentSpec(git_branch=branch))
    source = deploy_pb2.DockerImage(image=f"{IMAGE}:{branch}")
    await client.deploy(deploy_pb2.DeployRequest(deployment_id=deployment_id, docker_image=source))
    return deployment_id


async def _fates(box: Sandbox, settings: Settings) -> dict[str, Fate]:
    """Ask what a sweep would do now."""
    async with open_request_log(settings) as requests:
        cutoff_ms = now_ms() - int(settings.deploy.idle_window.total_seconds() * 1000)
        found = await survey(box.stack.database, requests, cutoff_ms)
    return {preview.deployment_id: preview.fate for preview in found}


@asynccontextmanager
async def _visited(box: Sandbox, settings: Settings, deployment_id: str) -> AsyncIterator[None]:
    """Call a deployment again and again while the block lasts."""
    _, environment_id = box.preview
    routed = Routed(box.world.workspace_id, box.world.project_id, environment_id, deployment_id)
    dsn = parse_clickhouse(settings.clickhouse.url.get_secret_value())

    async def visit() -> None:
        while True:
            await log_visit(dsn, routed, now_ms())
            await asyncio.sleep(_LOOK_SECONDS)

    async with asyncio.TaskGroup() as group:
        visits = group.create_task(visit())
        yield
        visits.cancel()
