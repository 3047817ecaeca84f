import uuid

import grpc
import grpc.aio
import pytest

from service.database import tables
from tests.command import hydra, hydra_running
from tests.installation import Installation


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


async def test_seed_may_run_again_and_completes_what_is_there(installation: Installation) -> None:
    options = ("--config", installation.stack.config_file, "--workspace", unique("ws"), "--project", "web")
    first = await hydra("seed", *options, "--app", "api", "--regions", "us-east-1,eu-central-1")
    again = await hydra("seed", *options, "--app", "api", "--app", "site", "--regions", "us-east-1,eu-central-1")

    assert (first.code, first.err, again.code) == (0, "", 0)
    world = first.document
    assert set(world["apps"]) == {"api"}
    assert set(world["apps"]["api"]["environments"]) == {"production", "preview"}
    assert set(world["regions"]) == {"us-east-1", "eu-central-1"}
    assert again.document["apps"].pop("site")
    assert again.document | {"apps": {"api": world["apps"]["api"]}} == world
    settings = await installation.rows(tables.app_regional_settings, app_id=world["apps"]["api"]["id"])
    assert len(settings) == 4


async def test_agents_run_what_is_desired_until_they_are_ended(installation: Installation) -> None:
    region = unique("region")
    world = await installation.world(regions=(region,))
    config = ("--config", installation.stack.config_file)
    async with hydra_running("agent", *config, "--region", region, "--start-delay", "10ms") as running:
        await running.told("agents run")
        deployment_id = await installation.deployed(world)
        running.interrupt()
        ended = await running.ended()
    assert (ended.code, ended.out) == (0, "")
    assert ended.err.startswith(f"agents run in {region};")
    (instance,) = await installation.rows(tables.instances, deployment_id=deployment_id)
    assert instance["status"] == "running"


async def test_agents_fail_what_they_are_told_to_fail(installation: Installation) -> None:
    region = unique("region")
    world = await installation.world(regions=(region,))
    deployment_id = await installation.deployment(world)
    config = ("--config", installation.stack.config_file)
    async with hydra_running(
        "agent", *config, "--region", region, "--start-delay", "10ms", "--fate", "fail"
    ) as running:
        await running.told("agents run")
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await installation.deploy(deployment_id)
    assert "0 of 1 running, 1 failed" in (raised.value.details() or "")


async def test_an_unknown_region_is_said(installation: Installation) -> None:
    ended = await hydra("agent", "--config", installation.stack.config_file, "--region", "atlantis")
    assert ended.code == 1
    assert ended.err.startswith("hydra-deploy: there is no region atlantis; known are ")
