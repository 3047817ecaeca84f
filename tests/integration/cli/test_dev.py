import asyncio
import os
import re
import shlex
import shutil
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from service.dev.build_servers import obstacle
from tests.command import Left, hydra, hydra_running, left, processes_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Make a temporary folder with a short name: BuildKit's socket is in it, and the kernel takes 107 bytes."""
    with TemporaryDirectory(prefix="dev-") as name:
        yield Path(name)


async def sh(line: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_shell(line, stdout=PIPE, cwd="/")
    out, _ = await process.communicate()
    return process.returncode, out.decode()


def lines_to_copy(told: str) -> list[str]:
    """Pick out what is meant to be copied: indented lines that begin with a program."""
    programs = {"grpcurl", "curl", sys.executable}
    indented = (line.strip() for line in told.splitlines() if line.startswith("  "))
    return [line for line in indented if line.split(" ")[0] in programs]


@pytest.mark.timeout(300)  # a dozen programs, one after another
async def test_every_line_to_copy_works(folder: Path) -> None:
    async with hydra_running("dev", environ={"TMPDIR": str(folder)}) as running:
        told = await running.wrote("Ctrl-C ends it all")
        lines = lines_to_copy(told)
        assert [shlex.split(line)[0] for line in lines].count("grpcurl") == 4
        assert len(lines) == 14 - bool(obstacle(folder))
        if obstacle(folder):
            assert f"nothing can be built from git: {obstacle(folder)}" in told
        else:
            assert re.search(
                r"deploy .*--repository acme/shop --branch main --commit [0-9a-f]{40}$", told, re.MULTILINE
            )
        for line in lines:
            if shutil.which(shlex.split(line)[0]):
                code, out = await sh(line)
                assert code == 0, line
                assert out
        running.interrupt()
        ended = await running.ended()

    assert (ended.code, ended.err) == (0, "")
    assert ended.out.endswith("all of it is stopped and removed\n")
    assert left(folder) == Left()


async def test_a_kept_folder_is_gone_on_with(folder: Path) -> None:
    folder /= "kept"
    config = ("--config", folder / "hydra.toml")
    async with hydra_running("dev", "--keep", folder) as running:
        first = await running.wrote("Ctrl-C ends it all")
        app = ("--app", "default", "--env", "production", "--image", "registry.example.com/acme/shop:1.0")
        deployed = await hydra("deploy", *app, *config, "--json")
        in_use = await hydra("dev", "--keep", folder)
        running.interrupt(signal.SIGTERM)
        assert (await running.ended()).code == 0
    assert processes_of(folder) == {}
    assert deployed.code == 0
    assert in_use.err == f"hydra-deploy: {folder} is in use by another stack [FOLDER_IN_USE]\n"

    async with hydra_running("dev", "--keep", folder) as running:
        again = await running.wrote("Ctrl-C ends it all")
        status = await hydra("status", deployed.document["deployment_id"], *config, "--json")
        redeployed = await hydra("deploy", *app, *config)
        running.interrupt()
        assert (await running.ended()).code == 0
    assert re.findall(r"127\.0\.0\.1:\d+", first) == re.findall(r"127\.0\.0\.1:\d+", again)
    assert re.findall(r"--commit (\w+)", first) == re.findall(r"--commit (\w+)", again)
    assert status.document["is_live"] is True
    assert redeployed.code == 0


async def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "hydra.toml").write_text("mine")
    ended = await hydra("dev", "--keep", tmp_path)
    assert ended.code == 1
    assert ended.err.endswith("holds other things: name a new folder [FOLDER_NOT_EMPTY]\n")
    assert (tmp_path / "hydra.toml").read_text() == "mine"


async def test_a_service_that_dies_is_told_of(folder: Path) -> None:
    async with hydra_running("dev", environ={"TMPDIR": str(folder)}) as running:
        await running.wrote("Ctrl-C ends it all")
        (service,) = [pid for pid, arguments in processes_of(folder).items() if {"service", "serve"} <= {*arguments}]
        os.kill(service, signal.SIGKILL)
        ended = await running.ended()
    assert ended.code == 1
    assert "the service ended by itself, exit code -9: see" in ended.err
    assert left(folder) == Left()
