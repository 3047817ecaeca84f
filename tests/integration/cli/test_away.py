"""What the commands say, and what they leave alone, when a part they need is not there."""

import asyncio
import re
import socket
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.database import tables
from service.dev import snapshot
from service.dev.agent import region_agents
from service.dev.ports import free_ports
from service.dev.restate import RestateOptions
from service.dev.stack import LocalStack, StackOptions
from service.dev.workload import AgentBehaviour
from service.dev.world import World, seed
from tests.command import Left, hydra, hydra_running, left
from tests.installation import IMAGE
from tests.waiting import until

DEPLOY = ("deploy", "--app", "default", "--env", "production", "--image", IMAGE)


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[LocalStack]:
    async with LocalStack(tmp_path, StackOptions(restate=RestateOptions(fsync=False))) as stack:
        yield stack


@pytest.fixture
async def world(stack: LocalStack) -> World:
    return await seed(stack.database)


@pytest.mark.usefixtures("world")
async def test_nothing_is_written_for_a_deploy_that_restate_cannot_take(stack: LocalStack) -> None:
    await stack.restate.stop()

    async def noticed() -> bool:
        ended = await hydra(*DEPLOY, "--config", stack.config_file)
        assert ended.code == 1
        return ended.err.endswith("Restate or its database is away, or it is stopping [NOT_SERVING]\n")

    await until(noticed)
    assert "Traceback" not in stack.worker_log.read_text()
    before = len((await stack.database.read(snapshot.take))[tables.deployments.name])
    await hydra(*DEPLOY, "--config", stack.config_file)
    assert len((await stack.database.read(snapshot.take))[tables.deployments.name]) == before


async def test_a_server_that_crashes_meanwhile_is_called_again(stack: LocalStack, world: World) -> None:
    async with (
        region_agents(stack.database, world.regions.values(), AgentBehaviour(dead=True)) as agents,
        hydra_running(*DEPLOY, "--config", stack.config_file) as running,
    ):
        await running.wrote("✓ building")
        await stack.worker.kill()
        await stack.start_worker()
        for agent in agents.values():
            agent.behave(AgentBehaviour())
        ended = await running.ended()
    assert (ended.code, ended.err) == (0, "")
    assert re.search(r"^ready in ", ended.out, re.MULTILINE)


def configuration(folder: Path, dsn: str) -> Path:
    file = folder / "hydra.toml"
    file.write_text(f'[database]\nprimary = "{dsn}"\n')
    return file


async def test_a_database_that_is_away_is_named_without_its_password(tmp_path: Path) -> None:
    file = configuration(tmp_path, "hydra:secret@tcp(127.0.0.1:1)/hydra?parseTime=true")
    ended = await hydra("status", "d_1", "--config", file)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == (
        "hydra-deploy: the database is not available at the moment; "
        "database.primary names 127.0.0.1:1 [DATABASE_UNAVAILABLE]\n"
    )


async def test_a_database_that_does_not_exist_is_not_created_by_looking(tmp_path: Path) -> None:
    file = configuration(tmp_path, f"sqlite:///{tmp_path}/hydra.db")
    ended = await hydra("status", "d_1", "--config", file)
    assert ended.code == 1
    assert ended.err.endswith("create it with `hydra-deploy migrate` [NO_DATABASE]\n")
    assert left(tmp_path).files == ("hydra.toml",)


async def test_missing_tables_are_said_and_migrate_makes_them(tmp_path: Path) -> None:
    file = configuration(tmp_path, f"sqlite:///{tmp_path}/hydra.db")
    sqlite3.connect(tmp_path / "hydra.db").close()
    ended = await hydra("seed", "--config", file)
    assert ended.code == 1
    assert re.search(r"and \d+ more: run `hydra-deploy migrate` \[SCHEMA_MISSING\]$", ended.err)

    first = await hydra("migrate", "--config", file)
    again, agent = await asyncio.gather(hydra("migrate", "--config", file), hydra("agent", "--config", file))
    assert re.search(r"^created \d+ tables of the reference$", first.out, re.MULTILINE)
    assert again.out == "nothing to do: the database has all that the service needs\n"
    assert agent.err == "hydra-deploy: the database has no regions: run `hydra-deploy seed` [NO_REGIONS]\n"


async def test_an_address_that_is_taken_is_said(tmp_path: Path) -> None:
    (http_port,) = free_ports(1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        file = configuration(tmp_path, f"sqlite:///{tmp_path}/hydra.db")
        file.write_text(file.read_text() + f'[grpc]\nlisten = "{address}"\n[restate]\nhttp_port = {http_port}\n')
        await hydra("migrate", "--config", file)
        ended = await hydra("serve", "--config", file, "--role", "grpc")
    assert ended.code == 1
    assert ended.err.splitlines()[-1].startswith(f"hydra-deploy: gRPC cannot listen on {address}: ")
    assert "Traceback" not in ended.err


async def test_a_restate_server_that_is_not_installed_is_said(tmp_path: Path) -> None:
    ended = await hydra("demo", environ={"TMPDIR": str(tmp_path), "HYDRA_RESTATE_SERVER": "/nowhere/restate-server"})
    assert ended.code == 1
    assert ended.err == (
        "hydra-deploy: HYDRA_RESTATE_SERVER names /nowhere/restate-server, which is not a program "
        "[FAILED_PRECONDITION]\n"
    )
    assert left(tmp_path) == Left()


async def test_every_fault_of_the_configuration_is_listed(tmp_path: Path) -> None:
    file = configuration(tmp_path, "no dsn")
    file.write_text(file.read_text() + "[grpc]\nlissten = 1\n")
    ended = await hydra("status", "d_1", "--config", file)
    assert ended.code == 2
    assert [line.split(":")[0].strip() for line in ended.err.splitlines()[1:]] == ["database.primary", "grpc.lissten"]
