"""`hydra-deploy releases` against a real Restate, with workers that only register."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from service.dev.restate import RestateOptions, RestateServer
from tests.command import hydra
from tests.servers.restate_worker import FakeService, FakeWorker, can_be_asked

NAMES = ("hydra.v1.RoutingService", "hydra.v1.DeployService")
BOTH = [FakeService(name) for name in NAMES]


@pytest.fixture
async def restate(tmp_path: Path) -> AsyncIterator[RestateServer]:
    async with RestateServer(tmp_path / "restate", options=RestateOptions(partitions=1, fsync=False)) as server:
        await can_be_asked(server.admin_url)
        yield server


@pytest.fixture
def config(restate: RestateServer, tmp_path: Path) -> Path:
    """Write a configuration whose database is never asked."""
    file = tmp_path / "hydra.toml"
    file.write_text(
        f'[database]\nprimary = "sqlite:///{tmp_path}/hydra.db"\n[restate]\nadmin_url = "{restate.admin_url}"\n'
    )
    return file


async def listed(config: Path, *options: str) -> list[dict[str, Any]]:
    ended = await hydra("releases", "--json", "--config", config, *options)
    assert ended.code == 0, ended.err
    found: list[dict[str, Any]] = ended.document
    return found


async def test_only_what_is_drained_stopped_and_ours_is_removed(restate: RestateServer, config: Path) -> None:
    async with AsyncExitStack() as workers:
        releases = ("/r/00000000000a", "/r/00000000000b", "", "/r/00000000000c", "/r/00000000000d")
        ids = {}
        for path in releases:  # each takes over from the one before
            worker = await workers.enter_async_context(FakeWorker(BOTH, path))
            ids[path] = await worker.register(restate.admin_url)
            if path.endswith(("a", "d")) or not path:
                await worker.stop()
        found = await listed(config, "--remove-drained")

        assert [each["id"] for each in found] == list(ids.values())
        said = [(each["release"], each["verdict"], each["answers"], each["removed"]) for each in found]
        assert said == [
            ("00000000000a", "drained", False, True),
            ("00000000000b", "drained", True, False),  # its worker would register again
            (None, "drained", False, False),  # another program's
            ("00000000000c", "drained", True, False),
            ("00000000000d", "serving", False, False),  # nobody answers, but there is nobody else
        ]
        assert found[-1]["serves"] == sorted(NAMES)
        assert len(await listed(config)) == len(releases) - 1


async def test_restate_that_is_away_is_one_line(restate: RestateServer, config: Path) -> None:
    await restate.stop()
    ended = await hydra("releases", "--config", config)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "hydra-deploy: Restate's admin API cannot be reached [RESTATE_UNAVAILABLE]\n"
