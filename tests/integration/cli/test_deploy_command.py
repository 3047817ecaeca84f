import asyncio
import os
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.database import tables
from service.dev.build_servers import BuildServers, obstacle
from service.dev.busybox import busybox_files
from service.dev.clickhouse import ClickHouseServer
from service.dev.stack import LocalStack
from service.dev.world import World
from tests.command import Ended, hydra, hydra_running
from tests.installation import IMAGE, Installation, stack_options
from tests.waiting import until

PHASES = ["starting", "building", "deploying", "network", "finalizing"]


def to_production(world: World) -> tuple[str, ...]:
    return ("--app", world.app.slug, "--env", "production", "--workspace", world.workspace_slug)


async def deploy(installation: Installation, *options: str, image: str = IMAGE) -> Ended:
    return await hydra("deploy", "--config", installation.stack.config_file, "--image", image, *options)


def id_in(text: str) -> str:
    found = re.search(r"\bd_\w+", text)
    assert found
    return found[0]


async def test_a_deploy_is_shown_phase_by_phase_and_ends_with_its_addresses(installation: Installation) -> None:
    world = await installation.world()
    ended = await deploy(installation, *to_production(world), "--branch", "main", "--commit", "4f1c0de6a1b2")

    assert (ended.code, ended.err) == (0, "")
    assert re.findall(r"✓ (\w+) +\d+ ms", ended.out) == PHASES
    assert "us-east-1 1/1" in ended.out
    assert re.search(r"^ready in \d+ ms|^ready in \d\.\d\d s", ended.out, re.MULTILINE)
    routes = await installation.rows(tables.frontline_routes, app_id=world.app.id)
    assert len(routes) == 5
    for route in routes:
        assert re.search(rf"https://{re.escape(route['fully_qualified_domain_name'])} +{route['sticky']}", ended.out)
    deployment_id = id_in(ended.out)
    assert await installation.live(world) == deployment_id
    operation = await installation.row(tables.hydra_operations, deployment_id=deployment_id)
    assert operation["caller"] == "hydra-deploy"


async def test_a_deploy_that_fails_ends_with_its_reason(installation: Installation) -> None:
    world = await installation.world(regions=("without-an-agent",))
    ended = await deploy(installation, *to_production(world), "--json")

    assert ended.code == 1
    assert ended.document["status"] == "failed"
    assert ended.document["operation"]["reason"] == "REGIONS_UNHEALTHY"
    assert ended.document["regions"][0]["instances"] == {}
    *shown, said = ended.err.splitlines()
    assert any(re.search(r"✗ deploying +[\d.]+ m?s +without-an-agent 0/1", line) for line in shown)
    assert said.startswith("hydra-deploy: ")
    assert said.endswith("[REGIONS_UNHEALTHY]")
    assert ended.document["operation"]["message"] in said


async def test_a_deploy_that_is_not_waited_for_goes_on(installation: Installation) -> None:
    world = await installation.world()
    ended = await deploy(installation, *to_production(world), "--no-wait")

    deployment_id = id_in(ended.out)
    assert ended.code == 0
    assert f"status {deployment_id} --config {installation.stack.config_file}" in ended.out
    await until_status(installation, deployment_id, "ready")


async def test_who_stops_watching_stops_nothing(installation: Installation) -> None:
    world = await installation.world(regions=("without-an-agent",))
    config = installation.stack.config_file
    async with hydra_running("deploy", "--config", config, "--image", IMAGE, *to_production(world)) as running:
        deployment_id = id_in(await running.wrote("✓ building"))
        running.interrupt()
        ended = await running.ended()

    assert ended.code == 130
    assert ended.err == ""
    assert "the deploy goes on; look at it with" in ended.out
    assert f"status {deployment_id}" in ended.out
    assert await installation.status(deployment_id) == "deploying"
    await until_status(installation, deployment_id, "failed")


async def test_an_app_is_found_by_its_id_and_an_environment_too(installation: Installation) -> None:
    world = await installation.world()
    preview = world.app.environments["preview"]
    ended = await deploy(installation, "--app", world.app.id, "--env", preview, "--json")
    assert ended.code == 0
    assert (ended.document["workspace"], ended.document["environment"]) == (world.workspace_slug, "preview")


async def test_what_does_not_exist_is_said_and_nothing_is_written(installation: Installation) -> None:
    world, other = await installation.world(), await installation.world()
    count = len(await installation.rows(tables.deployments))
    slug, workspace = world.app.slug, ("--workspace", world.workspace_slug)
    ends = await asyncio.gather(
        deploy(installation, "--app", slug, "--env", "production"),
        deploy(installation, "--app", "nothing", "--env", "production", *workspace, "--project", "shop"),
        deploy(installation, "--app", slug, "--env", "staging", *workspace),
        deploy(installation, *to_production(world), image="Not an image"),
        deploy(installation, *to_production(world), "--grpc", "127.0.0.1:1"),
    )

    assert [(end.code, end.out) for end in ends] == [(1, "")] * 5
    ambiguous, no_app, no_environment, no_image, no_server = [end.err.strip() for end in ends]
    assert f"{world.workspace_slug}/shop/default" in ambiguous
    assert f"{other.workspace_slug}/shop/default" in ambiguous
    assert ambiguous.endswith("or its id [APP_AMBIGUOUS]")
    assert no_app == (
        "hydra-deploy: there is no app 'nothing' in project 'shop' "
        f"of workspace '{world.workspace_slug}' [APP_NOT_FOUND]"
    )
    assert no_environment.endswith("it has preview, production [ENVIRONMENT_NOT_FOUND]")
    assert no_image.endswith("[INVALID_ARGUMENT]")
    assert no_server == (
        "hydra-deploy: no gRPC server answers at 127.0.0.1:1: is `hydra-deploy serve` running? [GRPC_UNREACHABLE]"
    )
    assert len(await installation.rows(tables.deployments)) == count


async def test_exactly_one_source_is_taken(tmp_path: Path) -> None:
    config = tmp_path / "hydra.toml"
    config.write_text('[database]\nprimary = "sqlite:///nothing.db"\n')
    place = ("--config", config, "--app", "default", "--env", "production")
    sources = ("--image", IMAGE, "--repository", "acme/shop", "--branch", "main")
    none, both = await asyncio.gather(hydra("deploy", *place), hydra("deploy", *place, *sources))

    assert [(end.code, end.out) for end in (none, both)] == [(2, "")] * 2
    for end in (none, both):
        said = re.sub(r"[\s│]+", " ", end.err)
        assert "--image / --repository: give exactly one: an image that exists, or a repository to build" in said


NO_BUILDS = obstacle(Path())
where_builds_run = pytest.mark.skipif(bool(NO_BUILDS) and not os.environ.get("CI"), reason=NO_BUILDS)


@pytest.fixture(scope="module")
async def building(
    clickhouse: ClickHouseServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Installation]:
    """Run an installation with a git server, a registry and a BuildKit of its own."""
    folder = tmp_path_factory.mktemp("building")
    options = replace(stack_options(folder, "", clickhouse_url=clickhouse.url), builds=True)
    async with Installation(LocalStack(folder, options)) as running:
        yield running


def servers_of(building: Installation) -> BuildServers:
    assert building.stack.build_servers is not None
    return building.stack.build_servers


async def deploy_commit(building: Installation, world: World, sha: str, *options: str) -> Ended:
    config = ("--config", building.stack.config_file)
    commit = ("--repository", "acme/tea", "--commit", sha)
    return await hydra(
        "deploy", *config, *to_production(world), *commit, *options, environ=dict(building.stack.options.environ)
    )


@where_builds_run
async def test_a_commit_is_built_and_its_image_is_named(building: Installation) -> None:
    world, servers = await building.world(), servers_of(building)
    sha = await servers.git.commit("acme/tea", busybox_files("RUN sleep 0.1\n"))
    ended = await deploy_commit(building, world, sha.upper(), "--branch", "main")

    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(f"deploying acme/tea, branch main, commit {sha[:7]} to ")
    phases = re.findall(r"✓ (\w+) +([\d.]+) (m?s)", ended.out)
    assert [phase for phase, *_ in phases] == PHASES
    row = await building.row(tables.deployments, id=id_in(ended.out))
    assert (row["git_branch"], row["git_commit_sha"]) == ("main", sha)
    name, _, tag = row["image"].removeprefix(f"{servers.registry.host}/").rpartition(":")
    stored = await servers.registry.manifest(name, tag)
    assert stored is not None
    assert f"  {row['image']}  {stored.digest}\n" in ended.out


@where_builds_run
async def test_a_build_that_fails_says_where_to_look(building: Installation) -> None:
    world = await building.world()
    sha = await servers_of(building).git.commit("acme/tea", busybox_files("RUN echo oh && exit 3\n"))
    ended = await deploy_commit(building, world, sha)

    assert ended.code == 1
    assert re.search(r"✗ building +[\d.]+ m?s", ended.out)
    deployment_id = id_in(ended.out)
    assert f"logs {deployment_id} --config {building.stack.config_file}" in ended.out
    assert "failed with exit code 3" in ended.err
    assert ended.err.endswith("[BUILD_FAILED]\n")
    assert await building.status(deployment_id) == "failed"


@where_builds_run
async def test_a_folder_and_a_dockerfile_of_the_repository_are_built(building: Installation) -> None:
    world = await building.world()
    files = busybox_files()
    below = {"shops/tea/Dockerfile.prod": files["Dockerfile"], "shops/tea/busybox": files["busybox"]}
    sha = await servers_of(building).git.commit("acme/tea", {**below, "Dockerfile": "FROM nothing-of-the-kind\n"})
    ended = await deploy_commit(building, world, sha, "--context", "shops/tea", "--dockerfile", "Dockerfile.prod")
    assert (ended.code, ended.err) == (0, "")


@where_builds_run
async def test_a_pull_request_is_asked_for(building: Installation) -> None:
    world = await building.world()
    sha = await servers_of(building).git.commit("acme/tea", busybox_files())
    ended = await deploy_commit(building, world, sha, "--pull-request", "7", "--json")

    assert ended.code == 1
    assert ended.document["operation"]["reason"] == "FORKS_NOT_BUILT"
    row = await building.row(tables.deployments, id=ended.document["deployment_id"])
    assert row["pr_number"] == 7


async def test_status_tells_the_same_to_people_and_to_programs(installation: Installation) -> None:
    world = await installation.world()
    old = await installation.deployed(world, git_branch="main")
    new = await installation.deployed(world, git_branch="main")
    config = ("--config", installation.stack.config_file)
    page, answer, gone = await asyncio.gather(
        hydra("status", old, *config), hydra("status", old, *config, "--json"), hydra("status", new.swapcase(), *config)
    )

    assert (page.code, answer.code, gone.code) == (0, 0, 1)
    document: dict[str, Any] = answer.document
    assert [step["step"] for step in document["steps"]] == PHASES
    assert all(step["duration_ms"] >= 0 and step["error"] is None for step in document["steps"])
    assert {region["name"] for region in document["regions"]} == set(world.regions)
    assert (document["status"], document["is_live"], document["attempt"]) == ("ready", False, 1)
    led = {route["sticky"]: (route["deployment_id"], route["points_here"]) for route in document["routes"]}
    assert led == {
        "live": (new, False),
        "environment": (new, False),
        "branch": (new, False),
        "deployment": (old, True),
    }
    assert document["operation"]["state"] == "succeeded"
    for text in (old, "ready", *world.regions, *(route["fqdn"] for route in document["routes"]), f"to {new}", "here"):
        assert text in page.out
    assert gone.err == f"hydra-deploy: the deployment '{new.swapcase()}' does not exist [DEPLOYMENT_NOT_FOUND]\n"


async def until_status(installation: Installation, deployment_id: str, status: str) -> None:
    async def reached() -> bool:
        return await installation.status(deployment_id) == status

    await until(reached)
