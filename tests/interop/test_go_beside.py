"""An installation that moves over one service at a time: ours calls the Go worker's services, and it calls ours."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hydra.v1 import versioning_pb2
from sqlalchemy import Table

from service.clock import now_ms
from service.database import tables
from service.domain.deployment import PRODUCTION
from tests.earlier_worker import SERVICES, EarlierWorker, register_ours
from tests.inside_caller import InsideCaller
from tests.installation import Answer, Installation
from tests.reporting_site import DASHBOARD, Connected, ReportingSite, reporting_site
from tests.servers.mariadb import MariaDB
from tests.waiting import until

pytestmark = [
    pytest.mark.parametrize("server", ["mariadb"], indirect=True, scope="session"),
    pytest.mark.xdist_group("beside"),
]

SCHEDULE = "DeploymentService/ScheduleDesiredStateChange"
NEXT_VERSION = "VersioningService/NextVersion"


@pytest.fixture(scope="module")
async def beside(server: MariaDB, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ReportingSite]:
    async with reporting_site(tmp_path_factory.mktemp("beside"), await server.create_database()) as running:
        yield running


@asynccontextmanager
async def left(installation: Installation, programs: Path, *services: str) -> AsyncIterator[EarlierWorker]:
    """Leave services to the Go worker while the block lasts; ours serves the others."""
    await installation.stack.stop_worker()
    await installation.stack.start_worker({f"HYDRA_SERVICES__{name.upper()}": "false" for name in services})
    await register_ours(installation, force=True)  # an earlier test may have left the same
    await installation.channel.channel_ready()
    folder = installation.stack.folder / secrets.token_hex(4)
    async with EarlierWorker(programs, folder, services) as go:
        await go.register(installation)
        yield go


def first_report(connected: Connected, deployment_id: str, **facts: Any) -> dict[str, Any]:
    """Build what GitHubStatusService is told first of a production deployment, as Go shows it: with every field."""
    workspace, project_id = connected.world.workspace_slug, connected.world.project_id
    return {
        "installationId": str(connected.installation_id),
        "repo": connected.repository.full_name,
        "commitSha": connected.sha,
        "branch": connected.branch,
        "environmentLabel": "shop - production",
        "environmentUrl": f"https://shop-production-{workspace}.hydra.localhost",
        "logUrl": f"{DASHBOARD}/{workspace}/projects/{project_id}/deployments/{deployment_id}",
        "isProduction": True,
        "projectSlug": "shop",
        "appSlug": "default",
        "envSlug": "production",
        "prNumber": 0,
        "existingGithubDeploymentId": "0",
        **facts,
    }


def report(state: str, description: str) -> dict[str, Any]:
    return {"state": f"GITHUB_DEPLOYMENT_STATE_{state}", "description": description}


async def test_our_deploys_report_to_a_status_service_in_go(beside: ReportingSite, programs: Path) -> None:
    connected = await beside.connected()
    first, second = [await beside.deployment(connected, pr_number=number) for number in (7, 0)]
    async with left(beside.installation, programs, "github_status") as go:
        await beside.installation.deploy(first)
        await go.noted("got", "GitHubStatusService/ReportStatus", first, count=2)
        await beside.installation.deploy(second)
        heard = [
            await go.noted("got", "GitHubStatusService/ReportStatus", each, 3 - at)
            for at, each in enumerate((first, second))
        ]
        begun = {note.key: note.message for note in go.notes("got", "GitHubStatusService/Init")}
    assert begun == {first: first_report(connected, first, prNumber=7), second: first_report(connected, second)}
    told_of_both = [[note.message for note in notes] for notes in heard]
    assert told_of_both == [
        [
            report("IN_PROGRESS", "Starting"),
            report("SUCCESS", "Ready"),
            report("INACTIVE", "Replaced by a newer deployment"),
        ],
        [report("IN_PROGRESS", "Starting"), report("SUCCESS", "Ready")],
    ]
    assert [await beside.installation.status(each) for each in (first, second)] == ["ready", "ready"]
    assert beside.asked_of(connected) == []


async def test_a_failed_deploy_is_reported_to_go_too(beside: ReportingSite, programs: Path) -> None:
    connected = await beside.connected(quota_cpu_millicores=1)
    deployment_id = await beside.deployment(connected)
    async with left(beside.installation, programs, "github_status", "openapi") as go:
        answer = await beside.installation.ingress(
            f"/hydra.v1.DeployService/{connected.world.workspace_id}/Deploy",
            {"deploymentId": deployment_id, "dockerImage": {"image": "registry.example.com/acme/shop:1.0"}},
        )
        heard = await go.noted("got", "GitHubStatusService/ReportStatus", deployment_id, 2)
    assert answer.status == 429
    assert heard[-1].message == report("FAILURE", answer.body["message"])


async def test_our_deploys_send_to_an_openapi_service_in_go(beside: ReportingSite, programs: Path) -> None:
    world = await beside.installation.world()
    deployment_id = await beside.installation.deployment(world)
    async with left(beside.installation, programs, "openapi") as go:
        await beside.installation.deploy(deployment_id)
        (scrape,) = await go.noted("got", "OpenapiService/ScrapeSpec")
    assert scrape.message == {"deploymentId": deployment_id}
    assert await beside.installation.status(deployment_id) == "ready"


async def test_our_deploys_have_go_stop_what_they_replace_and_it_counts_with_us(
    beside: ReportingSite, programs: Path
) -> None:
    installation = beside.installation
    world = await installation.world()
    region_ids = [region.id for region in world.regions.values()]
    first, second = [await installation.deployment(world) for _ in range(2)]
    async with left(installation, programs, "deployment") as go:
        go.plan(first, {"regions": region_ids})
        await installation.deploy(first)
        await installation.deploy(second)
        (scheduled,) = await go.noted("got", SCHEDULE, first)
        (changed,) = await go.noted("got", "DeploymentService/ChangeDesiredState", first)
        taken = [(await go.noted("heard", NEXT_VERSION, region_id))[-1] for region_id in region_ids]
        cleared = {note.key for note in go.notes("got", "DeploymentService/ClearScheduledStateChanges")}
    assert scheduled.message == {"delayMillis": "1500", "state": "DEPLOYMENT_DESIRED_STATE_STANDBY"}
    assert changed.message["state"] == "DEPLOYMENT_DESIRED_STATE_STANDBY"
    assert cleared == {first, second}
    for note in taken:
        stamped = [row["version"] for row in await installation.rows(tables.deployment_topology, region_id=note.key)]
        assert int(note.message["version"]) > max(stamped)


async def test_who_was_registered_last_serves(beside: ReportingSite, programs: Path) -> None:
    """To give a service back: the Go worker takes all that it serves, then ours takes the rest, by force."""
    installation = beside.installation
    async with left(installation, programs, "openapi"), EarlierWorker(programs, installation.stack.folder) as go:
        await go.register(installation, force=True)  # which Restate 1.6 demands: some of our handlers are gone with it
        assert len(await served_at(installation, go.uri)) == len(SERVICES)
        await installation.stack.stop_worker()
        await installation.stack.start_worker({"HYDRA_SERVICES__OPENAPI": "false"})
        assert len(await served_at(installation, go.uri)) == len(SERVICES), "Restate knew it, and was told nothing new"
        await register_ours(installation, force=True)
        assert await served_at(installation, go.uri) == ["hydra.v1.OpenapiService"]


async def served_at(installation: Installation, uri: str) -> list[str]:
    """Ask Restate which services it calls at an address."""
    rows = await installation.admin_query(
        f"select s.name from sys_service s join sys_deployment d on d.id = s.deployment_id where d.endpoint = '{uri}/'"
    )
    return [row["name"] for row in rows]


# ------------------------------------------------------------------------------------------------- Go calls ours


async def add_route(installation: Installation, connected: Connected, deployment_id: str) -> str:
    """Insert a live route that points to a deployment, and return its id."""
    app, route_id = connected.world.app, f"flr_{secrets.token_hex(6)}"
    row = {
        "id": route_id,
        "project_id": connected.world.project_id,
        "app_id": app.id,
        "deployment_id": deployment_id,
        "environment_id": app.environments[PRODUCTION],
        "fully_qualified_domain_name": f"{route_id}.hydra.localhost".replace("_", "-"),
        "sticky": "live",
        "created_at": now_ms(),
    }
    await insert(installation, tables.frontline_routes, [row])
    return route_id


async def run_in(installation: Installation, inside: InsideCaller, connected: Connected, deployment_id: str) -> None:
    """Insert the topologies of a deployment that runs, with versions of our counting."""
    rows = []
    for region in connected.world.regions.values():
        request = versioning_pb2.NextVersionRequest()
        counted = await inside.call("hydra.v1.VersioningService", "NextVersion", region.id, request)
        rows.append(
            {
                "workspace_id": connected.world.workspace_id,
                "deployment_id": deployment_id,
                "region_id": region.id,
                "desired_replicas": 1,
                "version": counted.version,
                "desired_status": "running",
                "created_at": now_ms(),
            }
        )
    await insert(installation, tables.deployment_topology, rows)


async def insert(installation: Installation, table: Table, rows: list[dict[str, Any]]) -> None:
    await installation.database.transact(lambda conn: conn.execute(table.insert(), rows))


async def test_a_deploy_in_go_is_served_by_ours(beside: ReportingSite, programs: Path) -> None:
    """It takes numbers, moves a route, reports, and lets the deployment that it replaces rest."""
    installation = beside.installation
    connected = await beside.connected()
    region_ids = [region.id for region in connected.world.regions.values()]
    replaced, deployed = [await beside.deployment(connected) for _ in range(2)]
    route_id = await add_route(installation, connected, replaced)
    async with left(installation, programs, "deploy") as go, InsideCaller(installation) as inside:
        await run_in(installation, inside, connected, replaced)
        go.plan(
            deployed,
            {
                "regions": region_ids,
                "app_id": connected.world.app.id,
                "routes": [route_id],
                "replaces": replaced,
                "delay_ms": 1,
                "report": first_report(connected, deployed),
            },
        )
        answer = await go_deploy(installation, connected, deployed)
        taken = {region_id: go.notes("heard", NEXT_VERSION, region_id) for region_id in region_ids}
        others = ["RoutingService/AssignFrontlineRoutes", SCHEDULE]
        others += [f"GitHubStatusService/{rpc}" for rpc in ("Init", "ReportStatus")]
        heard = {handler: [(note.error, note.message) for note in go.notes("heard", handler)] for handler in others}

        async def rests() -> bool:
            return bool((await installation.row(tables.deployments, id=replaced))["desired_state"] == "standby")

        await until(rests)
        state = await inside.state("hydra.v1.GitHubStatusService", deployed)
    assert (answer.status, answer.body) == (200, {})
    assert heard == {handler: [("", {})] for handler in others}
    stopped = await installation.rows(tables.deployment_topology, deployment_id=replaced)
    assert {row["desired_status"] for row in stopped} == {"stopped"}
    for region_id, notes in taken.items():
        numbers = [int(note.message["version"]) for note in notes]
        (row,) = (row for row in stopped if row["region_id"] == region_id)
        assert numbers == [row["version"] - 2, row["version"] - 1]
    assert (await installation.row(tables.frontline_routes, id=route_id))["deployment_id"] == deployed
    (on_github,) = connected.repository.deployments
    assert [(status.state, status.description) for status in on_github.statuses][-1] == ("success", "Deployed")
    assert state["github_deployment_id"] == on_github.deployment_id


async def go_deploy(installation: Installation, connected: Connected, deployment_id: str) -> Answer:
    request = {"deploymentId": deployment_id, "dockerImage": {"image": "registry.example.com/acme/shop:1.0"}}
    return await installation.ingress(f"/hydra.v1.DeployService/{connected.world.workspace_id}/Deploy", request)


async def test_what_ours_refuses_is_an_error_in_go(beside: ReportingSite, programs: Path) -> None:
    installation = beside.installation
    connected = await beside.connected()
    deployment_id = await beside.deployment(connected)
    async with left(installation, programs, "deploy") as go:
        go.plan(deployment_id, {"app_id": connected.world.app.id, "routes": ["flr_nowhere"]})
        answer = await go_deploy(installation, connected, deployment_id)
        (heard,) = go.notes("heard", "RoutingService/AssignFrontlineRoutes")
    assert (heard.code, answer.status) == (404, 404)
    assert "flr_nowhere" in heard.error
    assert "flr_nowhere" in answer.body["message"]
