"""What a stack builds from git with: whether it can be had here, and what it has to build."""

import os
from pathlib import Path

import pytest

from service.dev.build_servers import BuildServers, obstacle
from service.dev.git_repository import GitRepository
from service.dev.ports import free_ports
from service.dev.programs import ProgramMissing


@pytest.fixture
def servers(tmp_path: Path) -> BuildServers:
    lacking = obstacle(Path())
    if lacking and not os.environ.get("CI"):
        pytest.skip(lacking)
    return BuildServers(tmp_path, *free_ports(2))


def test_what_is_in_the_way_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYDRA_BUILDKITD", "/nowhere")
    assert obstacle(Path()) == "HYDRA_BUILDKITD names /nowhere, which is not a program"
    with pytest.raises(ProgramMissing):
        BuildServers(Path(), 1, 2)


@pytest.mark.usefixtures("servers")
def test_a_folder_whose_name_leaves_no_room_for_a_socket_is_refused(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 100)
    assert obstacle(deep) == (
        f"BuildKit cannot run: {deep}/buildkit/buildkitd.sock is too long for a socket's path: take a shorter folder"
    )


async def test_the_sample_repository_is_made_once_and_then_gone_on_with(servers: BuildServers) -> None:
    first = await servers.sample()
    assert await servers.sample() == first
    pushed = await GitRepository(servers.folder_of(first.repository)).commit("refs/heads/main", {"a": "b"})
    assert (await servers.sample()).sha == pushed
