"""The BuildKit of development and tests: a real one, which builds from git and pushes to a registry."""

import os
import secrets
import shutil
from asyncio import create_task
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from service.build.buildkit import (
    Address,
    Build,
    BuildKitError,
    Credentials,
    Exporter,
    Log,
    Progress,
    Solved,
    Tls,
    Unreachable,
    connect,
)
from service.dev.buildkit import BINARY_VARIABLE, BuildKitMissing, BuildKitServer, ServerTls, require_buildkit
from service.dev.busybox import busybox_files, find_busybox
from service.dev.git_server import GitServer
from service.dev.programs import ProgramMissing, find_program
from service.dev.registry import Account, RegistryServer
from service.errors import FailedPrecondition
from tests.servers.certificates import Authority
from tests.waiting import until

ACCOUNT = Account("x-token", "p:ss wörd")
SOON = timedelta(seconds=30)
TOKEN = "ghs_of_the_shop"  # noqa: S105 - of a test


class Lines(Progress):
    """Keeps what the steps wrote."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def on_log(self, log: Log, /) -> None:
        self.text += log.text
        super().on_log(log)


@pytest.fixture(scope="module", autouse=True)
def _possible() -> None:
    """Skip where there can be no BuildKit, or nothing to build and push with; but never in CI."""
    try:
        require_buildkit()
        find_busybox()
        find_program("docker-registry", "docker-registry")
    except ProgramMissing as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))


@pytest.fixture
async def git(tmp_path: Path) -> AsyncIterator[GitServer]:
    async with GitServer(tmp_path / "git", lambda _repository, token: token == TOKEN) as server:
        yield server


@pytest.fixture
async def buildkit(tmp_path: Path) -> AsyncIterator[BuildKitServer]:
    server = BuildKitServer(tmp_path / "buildkit")
    await server.start()
    yield server
    await server.kill()


async def build(server: BuildKitServer, git: GitServer, sha: str, lines: Lines, registry: str = "") -> Solved:
    """Build the shop, and push it where a registry is named."""
    attrs = {"context": f"{git.url}/acme/shop.git#{sha}", "filename": "Dockerfile", "platform": "linux/amd64"}
    exporter = Exporter("image", {"name": f"{registry}/shop:1", "push": "true"} if registry else {})
    order = Build(
        secrets.token_hex(8),
        {**attrs, "label:name": "value"},
        exporter,
        {f"GIT_AUTH_TOKEN.127.0.0.1:{git.port}": TOKEN.encode()},
        {registry: Credentials(ACCOUNT.username, ACCOUNT.password)},
    )
    async with connect(Address.parse(server.address)) as client:
        await client.wait_ready(SOON)
        return await client.build(order, lines)


def traces(server: BuildKitServer, *texts: str) -> list[str]:
    """Return what this machine shows of a daemon: processes, mounts, cgroups, containers."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            command = (folder / "cmdline").read_text().replace("\0", " ") if folder.name.isdecimal() else ""
        except OSError:
            continue
        found += [command for text in (str(server.folder), *texts) if text in command]
    found += [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(server.folder) in line]
    return found + [str(path) for path in Path("/sys/fs/cgroup").glob(f"**/{server.cgroup}")]


async def test_it_starts_and_stops_and_leaves_nothing(buildkit: BuildKitServer) -> None:
    assert await buildkit.listens()
    with pytest.raises(FailedPrecondition, match="runs already"):
        await buildkit.start()
    assert traces(buildkit)

    await buildkit.stop()
    assert buildkit.pid is None
    assert not await buildkit.listens()
    assert traces(buildkit) == []
    await buildkit.stop()
    shutil.rmtree(buildkit.folder)


async def test_it_builds_from_a_private_repository_and_pushes(
    buildkit: BuildKitServer, git: GitServer, tmp_path: Path
) -> None:
    sha = await git.create("acme/shop", busybox_files("RUN echo hello; id -u\n"), private=True)
    lines = Lines()
    async with RegistryServer(tmp_path / "registry", ACCOUNT) as registry:
        solved = await build(buildkit, git, sha, lines, registry.host)
        image = await registry.manifest("shop", "1")

    assert image is not None
    assert image.digest == solved.digest
    assert image.config["config"]["Labels"] == {"name": "value"}
    assert len(image.manifest["layers"]) == 2
    assert lines.text.endswith("hello\n0\n")
    assert git.requests[-1].has_token


async def test_a_build_ends_with_it_and_the_next_finds_its_cache(buildkit: BuildKitServer, git: GitServer) -> None:
    nap = f"sleep 600.{secrets.randbelow(10**6)}"
    sha = await git.create("acme/shop", busybox_files(f"RUN echo hello; echo begun; {nap}\n"))
    lines = Lines()
    building = create_task(build(buildkit, git, sha, lines))

    async def begun() -> bool:
        return "begun" in lines.text or building.done()

    await until(begun)
    assert any(nap in trace for trace in traces(buildkit, nap))
    await buildkit.kill()

    assert traces(buildkit, nap) == []
    with pytest.raises(BuildKitError):
        await building
    await buildkit.start()
    again = await git.commit("acme/shop", busybox_files("RUN echo hello\n"))
    await build(buildkit, git, again, lines)
    await buildkit.stop()
    assert traces(buildkit) == []
    shutil.rmtree(buildkit.folder)


async def test_over_tcp_it_lets_in_who_has_a_certificate(tmp_path: Path) -> None:
    authority = Authority()
    own, client = authority.server("buildkit.test"), authority.client()
    tls = Tls(authority.cert, client.cert, client.key, "buildkit.test")
    stranger = Authority().client()
    async with BuildKitServer(tmp_path, ServerTls(authority.cert, own.cert, own.key)) as server:
        address = Address.parse(server.address)
        async with connect(address, tls) as daemon:
            await daemon.wait_ready(SOON)
        async with connect(address, Tls(authority.cert, stranger.cert, stranger.key, "buildkit.test")) as daemon:
            with pytest.raises(Unreachable):
                await daemon.wait_ready(timedelta(seconds=1))
    assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o600


def test_where_there_is_none_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BuildKitMissing, match="HYDRA_BUILDKITD names /nowhere, which is not a program"):
        require_buildkit({BINARY_VARIABLE: "/nowhere"})
    with pytest.raises(ProgramMissing, match="run `make buildkit`, which needs Go, or set HYDRA_BUILDKITD"):
        require_buildkit({"PATH": str(tmp_path)}, root=tmp_path)


def test_one_on_the_path_is_found(tmp_path: Path) -> None:
    binary = tmp_path / "buildkitd"
    binary.write_text("#!/bin/sh\n")
    binary.chmod(0o755)
    assert require_buildkit({"PATH": str(tmp_path)}, root=tmp_path) == binary
