"""What Go callers ask of an installation that builds and counts requests: deploys from git, and the sweep."""

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.clock import now_ms
from service.database import tables
from service.dev.build_servers import BuildServers, obstacle
from service.dev.busybox import busybox_files
from service.dev.clickhouse import ClickHouseServer
from service.dev.stack import LocalStack
from service.domain.deployment import PREVIEW
from tests.installation import IMAGE, Installation, stack_options
from tests.interop_programs import GrpcCaller, IngressCaller, ingress_caller
from tests.previews import LONG_AGO_MS, keep_log_alive

NO_BUILDS = obstacle(Path())
pytestmark = [
    pytest.mark.skipif(bool(NO_BUILDS) and not os.environ.get("CI"), reason=NO_BUILDS),
    pytest.mark.xdist_group("go-builds"),
]

COMPLAINT = "what the database says"
SWEEP = "ScaleDownIdlePreviewDeployments"


@pytest.fixture(scope="module")
async def whole(
    programs: Path,  # noqa: ARG001 - nothing is started where there are none
    clickhouse: ClickHouseServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Installation]:
    """Run an installation with a git server, a registry, a BuildKit and a ClickHouse, and little patience."""
    folder = tmp_path_factory.mktemp("whole")
    options = stack_options(folder, "", {"step_timeout": '"1s"'}, clickhouse_url=clickhouse.url)
    async with Installation(LocalStack(folder, replace(options, builds=True))) as running:
        yield running


@pytest.fixture(scope="module")
async def over_ingress(whole: Installation, programs: Path) -> AsyncIterator[IngressCaller]:
    async with ingress_caller(programs, whole.stack.restate.ingress_url) as caller:
        yield caller


@pytest.fixture(scope="module")
def over_grpc(whole: Installation, programs: Path) -> GrpcCaller:
    return GrpcCaller(programs, whole.stack.grpc_address)


async def commit(whole: Installation, deployment_id: str, dockerfile: str = "RUN true\n") -> dict[str, Any]:
    """Commit a repository that lies below a folder, and ask for its deploy, with every field of a git source."""
    servers: BuildServers | None = whole.stack.build_servers
    assert servers is not None
    names = {"Dockerfile": "Dockerfile.prod"}
    files = {f"shops/tea/{names.get(name, name)}": content for name, content in busybox_files(dockerfile).items()}
    git = {
        "installationId": "9007199254740993",
        "repository": "acme/tea",
        "commitSha": await servers.git.commit("acme/tea", files),
        "contextPath": "shops/tea",
        "dockerfilePath": "Dockerfile.prod",
        "branch": "main",
        "prNumber": "0",
    }
    return {"deploymentId": deployment_id, "git": git}


async def assert_built(whole: Installation, deployment_id: str, request: dict[str, Any]) -> None:
    row = await whole.row(tables.deployments, id=deployment_id)
    assert (row["status"], row["git_commit_sha"]) == ("ready", request["git"]["commitSha"])
    build = await whole.row(tables.hydra_builds, deployment_id=deployment_id)
    assert (build["state"], build["image"]) == ("succeeded", row["image"])


async def idle_preview(whole: Installation) -> str:
    world = await whole.world()
    idle = await whole.deployed(world, PREVIEW)
    await whole.set(tables.deployments, {"id": idle}, created_at=now_ms() - LONG_AGO_MS, updated_at=None)
    await keep_log_alive(whole.stack.options.environ["HYDRA_CLICKHOUSE__URL"])
    return idle


async def desired(whole: Installation, deployment_id: str) -> str:
    return str((await whole.row(tables.deployments, id=deployment_id))["desired_state"])


async def test_the_ingress_takes_a_deploy_from_git(whole: Installation, over_ingress: IngressCaller) -> None:
    world = await whole.world()
    deployment_id = await whole.deployment(world)
    request = await commit(whole, deployment_id)

    done = await over_ingress("call", "DeployService/Deploy", request, key=world.project_id)

    assert done == {"response": {}}
    await assert_built(whole, deployment_id, request)


async def test_grpc_takes_a_deploy_from_git(whole: Installation, over_grpc: GrpcCaller) -> None:
    world = await whole.world()
    deployment_id = await whole.deployment(world)
    request = await commit(whole, deployment_id)

    assert (await over_grpc("Deploy", request))["code"] == "OK"
    await assert_built(whole, deployment_id, request)


async def test_a_repository_that_does_not_build_is_told_from_other_trouble(
    whole: Installation, over_ingress: IngressCaller, over_grpc: GrpcCaller
) -> None:
    world = await whole.world()
    request = await commit(whole, await whole.deployment(world), "RUN exit 3\n")

    failed = await over_grpc("Deploy", request)
    again = await over_ingress("call", "DeployService/Deploy", request, key="k")

    assert (failed["code"], failed["details"]["violations"]) == ("FailedPrecondition", ["BUILD_FAILED"])
    assert failed["details"]["facts"]["cause"] == "RUN_FAILED"
    assert "unexpected status 422 Unprocessable Entity: " in again["error"]["message"]


async def test_the_ingress_takes_a_sweep(whole: Installation, over_ingress: IngressCaller) -> None:
    idle = await idle_preview(whole)
    assert await over_ingress("call", f"DeployService/{SWEEP}", {}, key="cron-01J9ZC6T") == {"response": {}}
    assert await desired(whole, idle) == "standby"


async def test_grpc_takes_a_sweep(whole: Installation, over_grpc: GrpcCaller) -> None:
    idle = await idle_preview(whole)
    assert (await over_grpc(SWEEP))["code"] == "OK"
    assert await desired(whole, idle) == "standby"


async def test_what_is_ours_to_mend_is_an_error_of_its_own_type(
    whole: Installation, over_ingress: IngressCaller, over_grpc: GrpcCaller
) -> None:
    """A database that refuses to write, until the step's patience ends."""
    world = await whole.world()
    broken = await whole.deployment(world)
    await refuse_attempts(whole, broken)

    refused = (await over_ingress("call", "DeployService/Deploy", image(broken), key="k"))["error"]
    internal = await over_grpc("Deploy", image(broken))

    assert refused["kind"] == "GenericError"
    assert (internal["code"], internal["details"]["reason"]) == ("Internal", "STEP_GAVE_UP")
    assert COMPLAINT not in refused["message"] + internal["message"]


def image(deployment_id: str) -> dict[str, Any]:
    """Ask for a deploy of the image."""
    return {"deploymentId": deployment_id, "dockerImage": {"image": IMAGE}}


async def refuse_attempts(whole: Installation, deployment_id: str) -> None:
    """Make SQLite refuse every claim of a deployment, with words that are not for callers."""
    trigger = f"""
        CREATE TRIGGER broken BEFORE INSERT ON hydra_deployment_attempts
        WHEN NEW.deployment_id = '{deployment_id}' AND NEW.state = 'running'
        BEGIN SELECT RAISE(ABORT, '{COMPLAINT}'); END"""

    async def work(conn: AsyncConnection) -> None:
        await conn.execute(text(trigger))

    await whole.database.transact(work)
