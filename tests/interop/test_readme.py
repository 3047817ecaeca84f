"""The lines to copy of README.md and docs/grpc.md, run as they stand there but for addresses and ids."""

import json
import os
import re
import shlex
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from service.database import tables
from service.dev.build_servers import obstacle
from service.dev.buildkit import BuildKitServer
from service.dev.busybox import busybox_files
from service.dev.clickhouse import ClickHouseServer
from service.dev.registry import Account, RegistryServer
from service.dev.world import World
from tests.build_site import BuildSite, Servers, build_site
from tests.command import Ended
from tests.interop.curls import curl, run
from tests.previews import insert_previews, keep_log_alive
from tests.servers.github_repository import Head
from tests.servers.mariadb import MariaDB

pytestmark = [
    pytest.mark.parametrize("server", ["mariadb"], indirect=True, scope="session"),
    pytest.mark.xdist_group("readme"),
]

ROOT = Path(__file__).parents[2]


def blocks(page: str, language: str) -> Iterator[str]:
    """Yield the code blocks of a page that are in a language."""
    for found in re.finditer(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        yield found[1]


def commands(page: str) -> list[list[str]]:
    """Split the lines of shell that begin with grpcurl or curl, each as a shell does."""
    lines = "".join(blocks(page, "sh")).replace("\\\n", "").splitlines()
    return [shlex.split(line) for line in lines if line.startswith(("grpcurl ", "curl "))]


@pytest.fixture(scope="module")
async def complete_site(
    server: MariaDB | None, clickhouse: ClickHouseServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[BuildSite]:
    """Run an installation that can do all that the pages speak of, with the repository that they build."""
    folder = tmp_path_factory.mktemp("readme")
    if lacking := obstacle(folder):
        assert not os.environ.get("CI"), lacking
        pytest.skip(f"nothing can be built from git: {lacking}")
    assert server is not None
    registry, buildkit = RegistryServer(folder, Account("hydra", "secret")), BuildKitServer(folder / "buildkit")
    async with registry, buildkit:
        environ = {"HYDRA_BUILD__ADDRESS": buildkit.address}
        servers = Servers(registry, clickhouse)
        async with build_site(folder / "site", await server.create_database(), servers, environ) as running:
            sha = await running.git.create("acme/shop", busybox_files("RUN true\n"), private=True)
            running.github.add_repository("acme/shop", branches={"main": Head(sha)})
            await keep_log_alive(clickhouse.url)
            yield running


@dataclass
class Reader:
    """Somebody who copies lines, and puts an installation of their own in place of the one that they speak of."""

    programs: Path
    site: BuildSite
    world: World
    meant: dict[str, str]

    async def run(self, line: list[str]) -> Ended:
        name, *arguments = (re.sub(r"127\.0\.0\.1:\d+|\bd_\d\b|\b42\b", self._meant, word) for word in line)
        return await run(self.programs / name if name == "grpcurl" else curl(), *arguments)

    async def does(self, line: list[str]) -> str:
        """Run a line, which has to succeed, and return what it wrote."""
        ended = await self.run(line)
        assert ended.code == 0, ended
        return ended.out

    async def becomes_ready(self, deployment_id: str) -> None:
        assert await self.site.ended(self.meant[deployment_id]) == "ready"

    async def live(self) -> str:
        """Tell which deployment is live, by its id on the page."""
        live = await self.site.installation.live(self.world)
        return next(told for told, meant in self.meant.items() if meant == live)

    def _meant(self, found: re.Match[str]) -> str:
        return self.meant[found[0]]


@pytest.fixture
async def reader(programs: Path, complete_site: BuildSite) -> Reader:
    site = complete_site
    installation = site.installation
    world = await installation.world()
    ids = {f"d_{number}": await site.deployment(world) for number in (1, 2, 3)}
    addresses = {
        "127.0.0.1:9090": installation.stack.grpc_address,
        "127.0.0.1:8080": installation.stack.restate.ingress_url.removeprefix("http://"),
    }
    return Reader(programs, site, world, {**ids, **addresses, "42": str(site.github.install("acme"))})


async def test_the_lines_of_the_readme(reader: Reader) -> None:
    """Each does what the page says of it; a line more, or less, has to be told of here."""
    list_, describe, deploy, build, rollback, promote, sweep, check, ingress = commands(
        (ROOT / "README.md").read_text()
    )
    installation = reader.site.installation
    idle = await insert_previews(installation.database, reader.world, 1, 1)

    assert "hydra.v1.DeployService\n" in await reader.does(list_)
    assert "rpc Deploy ( .hydra.v1.DeployRequest ) returns ( .hydra.v1.DeployResponse )" in await reader.does(describe)
    await reader.does(deploy)
    assert await reader.live() == "d_1"
    await reader.does(build)
    await reader.becomes_ready("d_2")
    assert (await reader.site.built(reader.meant["d_2"]))["state"] == "succeeded"
    assert await reader.live() == "d_2"
    await reader.does(rollback)
    assert await reader.live() == "d_1"
    await reader.does(promote)
    assert await reader.live() == "d_2"
    await reader.does(sweep)
    swept = await installation.row(tables.deployments, id=idle.deployment_ids[0])
    assert swept["desired_state"] == "standby"
    assert json.loads(await reader.does(check)) == {"status": "SERVING"}
    assert json.loads(await reader.does(ingress)) == {}
    assert await reader.live() == "d_3"


async def test_the_lines_of_the_page_on_grpc(reader: Reader) -> None:
    page = (ROOT / "docs" / "grpc.md").read_text()
    deploy, build, verbose, wrong = commands(page)
    (error,) = blocks(page, "json")

    for line, deployment_id in ((deploy, "d_1"), (build, "d_2")):
        assert json.loads(await reader.does(line)) == {}
        assert await reader.live() == deployment_id
    told = await reader.does(verbose)
    await reader.becomes_ready("d_3")
    operation = await reader.site.installation.row(tables.hydra_operations, deployment_id=reader.meant["d_3"])
    assert operation["caller"] == "release-bot"
    assert f"x-restate-invocation-id: {operation['id']}\n" in told
    assert f"x-hydra-deployment-id: {reader.meant['d_3']}\n" in told
    assert json.loads((await reader.run(wrong)).err) == json.loads(error)
