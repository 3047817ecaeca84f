"""The services behind a deploy, as Restate and other workers know them: 01 · 3, 03 · 2.0."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from hydra.v1 import github_status_pb2
from restate.server import install_shutdown_hook

from service.database import tables
from service.dev.ports import free_port
from service.domain.deployment import PREVIEW
from service.durable.binding import service
from service.durable.endpoint import Address, Endpoint
from service.durable.registration import Registration
from service.errors import InvalidArgument
from tests.inside_caller import InsideCaller, end_by_signal
from tests.installation import Installation
from tests.reporting_site import DASHBOARD, Connected, ReportingSite, reporting_site, table, told
from tests.servers.github_records import Deployment
from tests.waiting import until

STATUS = "hydra.v1.GitHubStatusService"
COMMENT = "hydra.v1.PullRequestCommentService"
OPENAPI = "hydra.v1.OpenapiService"

PENDING = github_status_pb2.GITHUB_DEPLOYMENT_STATE_PENDING
IN_PROGRESS = github_status_pb2.GITHUB_DEPLOYMENT_STATE_IN_PROGRESS
SUCCESS = github_status_pb2.GITHUB_DEPLOYMENT_STATE_SUCCESS

LEISURELY = {
    "initial_interval": "1m",
    "exponentiation_factor": 2.0,
    "max_interval": "10m",
    "max_attempts": 10,
    "on_max_attempts": "Kill",
}


async def known(installation: Installation, name: str) -> dict[str, Any]:
    """Ask Restate what it knows of a service."""
    async with installation.http.get(f"{installation.stack.restate.admin_url}/services/{name}") as answer:
        found: dict[str, Any] = await answer.json()
        return found


@pytest.mark.parametrize(
    "path", [f"/{STATUS}/d_1/Init", f"/{STATUS}/d_1/ReportStatus", f"/{COMMENT}/acme/PutRow", f"/{OPENAPI}/ScrapeSpec"]
)
async def test_nobody_outside_may_call(reporting: ReportingSite, path: str) -> None:
    answer = await reporting.installation.ingress(path, {})

    assert answer.status in (400, 404)
    assert answer.body["source"] == "ingress"


@pytest.mark.parametrize(
    ("name", "handlers"), [(STATUS, {"Init", "ReportStatus"}), (COMMENT, {"PutRow"}), (OPENAPI, {"ScrapeSpec"})]
)
async def test_restate_knows_them_as_private_and_gives_up_one_day(
    reporting: ReportingSite, name: str, handlers: set[str]
) -> None:
    found = await known(reporting.installation, name)

    served = found["handlers"]
    assert {handler["name"] for handler in served} == handlers
    assert [found["public"], *(handler["public"] for handler in served)] == [False] * (len(served) + 1)
    kind, exclusive = ("Service", {None}) if name == OPENAPI else ("VirtualObject", {"Exclusive"})
    assert (found["ty"], {handler.get("ty") for handler in served}) == (kind, exclusive)
    policy = found["retry_policy"]
    assert policy["on_max_attempts"] == "Kill"
    assert 0 < policy["max_attempts"] < 20_000
    assert name != OPENAPI or policy == LEISURELY


# ------------------------------------------------------------------------------------------- called as Go does it


def init_request(connected: Connected, **facts: Any) -> github_status_pb2.GitHubStatusInitRequest:
    """Build what a Go worker sends first."""
    given = {
        "installation_id": connected.installation_id,
        "repo": connected.repository.full_name,
        "commit_sha": connected.sha,
        "branch": connected.branch,
        "environment_label": "shop - preview",
        "environment_url": "https://shop-preview-acme.example.com",
        "log_url": f"{DASHBOARD}/acme/projects/proj_1/deployments/d_1",
        "project_slug": "shop",
        "app_slug": "default",
        "env_slug": PREVIEW,
        **facts,
    }
    return github_status_pb2.GitHubStatusInitRequest(**given)


def github_deployment(site: ReportingSite, connected: Connected) -> Deployment:
    """Make a deployment on GitHub, as another worker of our App has done."""
    stamps = connected.repository.stamps
    made = Deployment(stamps.next_id(), connected.sha, connected.sha, site.github.bot(), stamps.now())
    connected.repository.deployments.append(made)
    return made


async def init(inside: InsideCaller, deployment_id: str, request: Message) -> None:
    await inside.call(STATUS, "Init", deployment_id, request)


async def report(inside: InsideCaller, deployment_id: str, state: Any, description: str = "") -> None:
    request = github_status_pb2.GitHubStatusReportRequest(state=state, description=description)
    await inside.call(STATUS, "ReportStatus", deployment_id, request)


async def ended(site: ReportingSite, deployment_id: str) -> None:
    """Wait for what the handlers of a deployment have sent."""
    own = f"select id from sys_invocation where target_service_name = '{STATUS}' and target_service_key = "
    for found in await site.installation.admin_query(f"{own}'{deployment_id}'"):
        await told(site.installation, found["id"])


def states(connected: Connected) -> list[str]:
    return [status.state for deployment in connected.repository.deployments for status in deployment.statuses]


async def test_the_state_is_kept_as_the_go_worker_keeps_it(reporting: ReportingSite, inside: InsideCaller) -> None:
    connected = await reporting.connected()
    number = connected.repository.open_pull_request(connected.branch)
    deployment_id = await reporting.deployment(connected, PREVIEW)

    await init(inside, deployment_id, init_request(connected))
    await report(inside, deployment_id, SUCCESS, "Ready")
    await ended(reporting, deployment_id)

    (deployment,) = connected.repository.deployments
    assert await inside.state(STATUS, deployment_id) == {
        "config": {
            "installation_id": connected.installation_id,
            "repo": connected.repository.full_name,
            "commit_sha": connected.sha,
            "branch": connected.branch,
            "environment_label": "shop - preview",
            "environment_url": "https://shop-preview-acme.example.com",
            "log_url": f"{DASHBOARD}/acme/projects/proj_1/deployments/d_1",
            "project_slug": "shop",
            "app_slug": "default",
            "env_slug": PREVIEW,
        },
        "github_deployment_id": deployment.deployment_id,
        "pr_number": number,
        "github_deployment_commit": connected.sha,  # ours, and the next; a Go worker passes over them
        "told": SUCCESS,
    }
    assert states(connected) == ["pending", "success"]
    row = await reporting.installation.row(tables.deployments, id=deployment_id)
    assert row["github_deployment_id"] == deployment.deployment_id


async def test_what_init_names_is_neither_made_nor_looked_for(reporting: ReportingSite, inside: InsideCaller) -> None:
    connected = await reporting.connected()
    made = github_deployment(reporting, connected)
    named, _ = (connected.repository.open_pull_request(connected.branch) for _ in range(2))
    deployment_id = await reporting.deployment(connected, PREVIEW)
    request = init_request(connected, pr_number=named, existing_github_deployment_id=made.deployment_id)

    await init(inside, deployment_id, request)
    await ended(reporting, deployment_id)

    assert connected.repository.deployments == [made]
    assert [status.state for status in made.statuses] == ["pending"]
    assert ["Queued" in row.status for row in table(reporting.comment(connected, named).body)] == [True]
    asked = {
        asked.path.removeprefix(f"/repos/{connected.repository.full_name}") for asked in reporting.asked_of(connected)
    }
    assert {"/deployments", "/pulls"} & asked == set()
    state = await inside.state(STATUS, deployment_id)
    assert (state["github_deployment_id"], state["pr_number"]) == (made.deployment_id, named)


async def test_what_a_go_worker_has_begun_is_carried_on(reporting: ReportingSite, inside: InsideCaller) -> None:
    connected = await reporting.connected()
    repository = connected.repository
    number = repository.open_pull_request(connected.branch)
    begun = github_deployment(reporting, connected)
    text = "<!-- unkey-deploy -->\nof another worker"
    comment = repository.add_comment(number, text, reporting.github.bot())
    deployment_id = await reporting.deployment(connected, PREVIEW)
    config = {
        "installation_id": connected.installation_id,
        "repo": repository.full_name,
        "commit_sha": connected.sha,
        "branch": connected.branch,
        "environment_label": "shop - preview",
        "log_url": f"{DASHBOARD}/acme/projects/proj_1/deployments/{deployment_id}",
        "is_production": True,
        "project_slug": "shop",
        "app_slug": "default",
        "env_slug": PREVIEW,
    }
    state = {
        "config": config,
        "github_deployment_id": begun.deployment_id,
        "pr_number": number,
        "pr_comment_id": comment.comment_id,
    }
    await inside.set_state(STATUS, deployment_id, state)

    await report(inside, deployment_id, SUCCESS, "Ready")
    await ended(reporting, deployment_id)

    assert repository.deployments == [begun]
    (status,) = begun.statuses
    assert (status.state, status.environment, status.log_url) == ("success", "shop - preview", config["log_url"])
    assert list(repository.all_comments.values()) == [comment]
    assert ["Ready" in row.status for row in table(comment.body)] == [True]
    ours = {"github_deployment_commit": connected.sha, "told": SUCCESS}
    assert await inside.state(STATUS, deployment_id) == {**state, **ours}


@pytest.mark.parametrize("missing", [{"installation_id": 0}, {"repo": ""}], ids=["installation", "repository"])
async def test_without_an_installation_or_a_repository_nothing_is_done(
    reporting: ReportingSite, inside: InsideCaller, missing: dict[str, Any]
) -> None:
    connected = await reporting.connected()
    connected.repository.open_pull_request(connected.branch)
    deployment_id = await reporting.deployment(connected, PREVIEW)

    await init(inside, deployment_id, init_request(connected, **missing))
    await report(inside, deployment_id, SUCCESS)
    await ended(reporting, deployment_id)

    assert await inside.state(STATUS, deployment_id) == {}
    assert reporting.asked_of(connected) == []


async def test_a_deployment_that_no_row_has_is_reported_all_the_same(
    reporting: ReportingSite, inside: InsideCaller
) -> None:
    connected = await reporting.connected()
    number = connected.repository.open_pull_request(connected.branch)
    deployment_id = f"d_of_nobody_{connected.repository.repository_id}"

    await init(inside, deployment_id, init_request(connected))
    await report(inside, deployment_id, SUCCESS, "Ready")
    await ended(reporting, deployment_id)

    assert states(connected) == ["pending", "success"]
    (row,) = table(reporting.comment(connected, number).body)
    assert "Ready" in row.status
    assert row.preview_url == "https://shop-preview-acme.example.com"


async def test_a_report_without_a_state_is_refused(reporting: ReportingSite, inside: InsideCaller) -> None:
    connected = await reporting.connected()
    deployment_id = await reporting.deployment(connected, PREVIEW)
    await init(inside, deployment_id, init_request(connected))

    with pytest.raises(InvalidArgument, match="state"):
        await report(inside, deployment_id, github_status_pb2.GITHUB_DEPLOYMENT_STATE_UNSPECIFIED)

    assert states(connected) == ["pending"]


# --------------------------------------------------------------------------------------- served by another worker


@asynccontextmanager
async def other_worker(installation: Installation) -> AsyncIterator[list[tuple[str, Message]]]:
    """Serve GitHubStatusService from this process; yields what it is told: the object's key and the request."""
    heard: list[tuple[str, Message]] = []

    async def hear_init(ctx: Any, request: Message) -> Message:
        heard.append((ctx.key(), request))
        return github_status_pb2.GitHubStatusInitResponse()

    async def hear_report(ctx: Any, request: Message) -> Message:
        heard.append((ctx.key(), request))
        return github_status_pb2.GitHubStatusReportResponse()

    served = service(STATUS, {"Init": hear_init, "ReportStatus": hear_report})
    address = Address("127.0.0.1", free_port())
    endpoint = Endpoint([served], "other", {}, address)
    # The SDK takes SIGTERM from the process that serves (05 · 3): the test run is to end by it all the same.
    install_shutdown_hook(asyncio.get_running_loop(), end_by_signal, signal.SIGTERM)
    endpoint.start()
    uri = f"http://{address.host}:{address.port}{endpoint.path}"
    try:
        await Registration(installation.stack.restate.admin_url, uri).register()
        yield heard
    finally:
        await endpoint.stop()


async def test_another_worker_may_serve_the_status(tmp_path: Path) -> None:
    async with reporting_site(tmp_path, "", {"HYDRA_SERVICES__GITHUB_STATUS": "false"}) as site:
        services = await site.installation.admin_query("select name from sys_service")
        assert {STATUS, COMMENT} & {row["name"] for row in services} == set()
        assert {OPENAPI, "hydra.v1.DeployService"} <= {row["name"] for row in services}
        connected = await site.connected()
        deployment_id = await site.deployment(connected, PREVIEW, pr_number=7)
        async with other_worker(site.installation) as heard:
            await site.installation.deploy(deployment_id)

            async def all_is_heard() -> bool:
                return len(heard) == 3

            await until(all_is_heard)
            assert await site.installation.status(deployment_id) == "ready"

    workspace, project = connected.world.workspace_slug, connected.world.project_id
    first = init_request(
        connected,
        pr_number=7,
        environment_url=f"https://shop-preview-{workspace}.hydra.localhost",
        log_url=f"{DASHBOARD}/{workspace}/projects/{project}/deployments/{deployment_id}",
    )
    started = github_status_pb2.GitHubStatusReportRequest(state=IN_PROGRESS, description="Starting")
    ready = github_status_pb2.GitHubStatusReportRequest(state=SUCCESS, description="Ready")
    assert heard == [(deployment_id, first), (deployment_id, started), (deployment_id, ready)]
    assert site.github.requests == []
