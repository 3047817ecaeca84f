import asyncio
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from service.build.buildkit import Address, SessionLost, SolveFailed, Unreachable, connect
from tests.servers.fake_build import FakeBuild
from tests.servers.fake_buildkit import FakeBuildKit
from tests.unit.build.buildkit.orders import QUICK, Watcher, order

SHORT = timedelta(seconds=1)


async def test_a_dockerd_upgrades_one_connection_for_many_calls() -> None:
    async with (
        FakeBuildKit("docker") as daemon,
        connect(Address.parse(daemon.address), timeouts=QUICK) as client,
    ):
        await client.wait_ready(SHORT)
        await client.build(order(), Watcher())
        assert daemon.front.upgrades == 1


async def test_a_dockerd_that_refuses_is_unreachable() -> None:
    async with (
        FakeBuildKit("docker") as daemon,
        connect(Address.parse(daemon.address), timeouts=QUICK) as client,
    ):
        daemon.front.refuse_upgrades = True
        with pytest.raises(Unreachable):
            await client.wait_ready(SHORT)
        assert daemon.probes == 0


async def test_a_dockerd_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    async with connect(Address.parse(f"docker://{tmp_path}/docker.sock"), timeouts=QUICK) as client:
        with pytest.raises(Unreachable):
            await client.wait_ready(SHORT)


async def test_a_dockerd_that_answers_at_length_is_unreachable(tmp_path: Path) -> None:
    """Its answer would otherwise be kept for as long as it goes on."""

    async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while not writer.is_closing():
                writer.write(b"x" * 4096)
                await writer.drain()

    server = await asyncio.start_unix_server(babble, tmp_path / "docker.sock")
    async with server, connect(Address.parse(f"docker://{tmp_path}/docker.sock"), timeouts=QUICK) as client:
        with pytest.raises(Unreachable):
            await client.wait_ready(SHORT)


async def test_a_dockerd_that_goes_away_ends_the_build() -> None:
    async def die(build: FakeBuild) -> str:
        daemon.front.drop()
        await build.hang()
        raise AssertionError

    async with (
        FakeBuildKit("docker") as daemon,
        connect(Address.parse(daemon.address), timeouts=QUICK) as client,
    ):
        daemon.script(die)
        with pytest.raises((SessionLost, SolveFailed)):
            await client.build(order(), Watcher())
        await daemon.builds[0].ended.wait()
