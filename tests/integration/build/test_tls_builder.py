"""A BuildKit of one's own over the network: the certificates come from files, and nobody is let in without."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.dev.buildkit import BuildKitServer, ServerTls
from tests.build_site import BuildSite, Servers, build_site
from tests.servers.certificates import Authority

NAME = "builder.test"


@pytest.fixture
async def site(buildkitd: BuildKitServer, servers: Servers, tmp_path: Path) -> AsyncIterator[BuildSite]:
    """Run an installation on a BuildKit behind mutual TLS; there is one where there is the other."""
    assert buildkitd.pid is not None
    authority = Authority()
    own, client = authority.server(NAME), authority.client()
    files = {"ca": authority.cert, "cert": client.cert, "key": client.key}
    for name, pem in files.items():
        (tmp_path / f"{name}.pem").write_bytes(pem)
    async with BuildKitServer(tmp_path / "buildkit", ServerTls(authority.cert, own.cert, own.key)) as server:
        environ = {f"HYDRA_BUILD__TLS_{name.upper()}_FILE": str(tmp_path / f"{name}.pem") for name in files}
        environ |= {"HYDRA_BUILD__ADDRESS": server.address, "HYDRA_BUILD__TLS_SERVER_NAME": NAME}
        async with build_site(tmp_path / "site", "", servers, environ) as running:
            yield running


async def test_a_private_repository_is_built_over_mutual_tls(site: BuildSite) -> None:
    project = await site.project()
    world = await site.installation.world()
    deployment_id = await site.deployment(world)

    await site.deploy(deployment_id, project.source())

    assert (await site.built(deployment_id))["state"] == "succeeded"
