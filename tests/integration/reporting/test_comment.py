"""The one comment of a pull request: 02 · 8, 06 · G2 and G3. Over both databases with HYDRA_TEST_FULL=1."""

import asyncio
import os
import secrets
from collections.abc import Iterable
from typing import Any

import grpc.aio
import pytest
from hydra.v1 import github_status_pb2

from service.database import tables
from service.dev.workload import AgentBehaviour
from service.domain.deployment import PREVIEW
from tests.inside_caller import InsideCaller
from tests.reporting_site import DASHBOARD, Connected, ReportingSite, Shown, shows, table, told
from tests.servers.github_faults import Fault
from tests.servers.github_repository import Head
from tests.waiting import until

STATUS = "hydra.v1.GitHubStatusService"
MARKER = "<!-- unkey-deploy -->"
State = github_status_pb2.GitHubDeploymentState
WORDS = [
    (State.GITHUB_DEPLOYMENT_STATE_PENDING, "Waiting", "⏳ Queued Waiting"),
    (State.GITHUB_DEPLOYMENT_STATE_QUEUED, "Third in line", "⏳ Queued Third in line"),
    (State.GITHUB_DEPLOYMENT_STATE_IN_PROGRESS, "Building the image", "🔨 Building Building the image"),
    (State.GITHUB_DEPLOYMENT_STATE_IN_PROGRESS, "Starting", "🔄 In Progress Starting"),
    (State.GITHUB_DEPLOYMENT_STATE_FAILURE, "It is broken", "❌ Failed It is broken"),
    (State.GITHUB_DEPLOYMENT_STATE_ERROR, "It was cancelled", "❌ Failed It was cancelled"),
    (State.GITHUB_DEPLOYMENT_STATE_SUCCESS, "Ready", "✅ Ready"),
    (State.GITHUB_DEPLOYMENT_STATE_INACTIVE, "Rolled back", "💤 Inactive Rolled back"),
]
ROUNDS = 20
DATABASES = ["sqlite", "mariadb"] if os.environ.get("HYDRA_TEST_FULL") else ["sqlite"]
pytestmark = pytest.mark.parametrize("server", DATABASES, indirect=True)
PLENTY: dict[str, Any] = {"quota_cpu_millicores": 10**6, "quota_memory_mib": 10**6}


async def previewed(site: ReportingSite, connected: Connected, **spec: Any) -> str:
    """Deploy a preview of the connected branch."""
    deployment_id = await site.deployment(connected, PREVIEW, **spec)
    await site.deploy(deployment_id)
    return deployment_id


def rows(site: ReportingSite, connected: Connected, number: int) -> list[Shown]:
    return table(site.comment(connected, number).body)


def words(shown: Iterable[Shown]) -> list[tuple[str, str]]:
    """Say what rows are about, and the first words of their states."""
    return [(row.app, " ".join(row.status.split()[:2])) for row in shown]


async def assert_leads_to(site: ReportingSite, row: Shown, connected: Connected, deployment_id: str) -> None:
    """Check the links and the commit of a row whose deployment is ready."""
    found = await site.installation.rows(tables.frontline_routes, deployment_id=deployment_id)
    assert row.preview_url in {f"https://{route['fully_qualified_domain_name']}" for route in found}
    workspace, project = connected.world.workspace_slug, connected.world.project_id
    assert row.inspect_url == f"{DASHBOARD}/{workspace}/projects/{project}/deployments/{deployment_id}"
    deployment = await site.installation.row(tables.deployments, id=deployment_id)
    sha = deployment["git_commit_sha"]
    assert row.commit == sha[:7]
    assert row.commit_url == f"https://github.com/{connected.repository.full_name}/commit/{sha}"


# -------------------------------------------------------------------------------------------------- which pull request


async def test_the_pull_request_that_is_named(reporting: ReportingSite) -> None:
    connected = await reporting.connected()
    repository = connected.repository
    repository.open_pull_request(connected.branch)
    named = repository.open_pull_request("patch", head=Head(connected.sha), by="stranger/shop")

    deployment_id = await previewed(reporting, connected, pr_number=named)

    (row,) = rows(reporting, connected, named)
    await assert_leads_to(reporting, row, connected, deployment_id)
    assert len(repository.all_comments) == 1
    assert not [asked for asked in reporting.asked_of(connected) if asked.path.endswith("/pulls")]


async def test_the_open_pull_request_of_the_branch(reporting: ReportingSite) -> None:
    connected = await reporting.connected()
    repository = connected.repository
    closed = repository.open_pull_request(connected.branch)
    repository.pull_request(closed).close()  # type: ignore[union-attr] # it was opened the line before
    found = repository.open_pull_request(connected.branch)
    head = Head(secrets.token_hex(20))
    for fork in ("stranger/shop", f"{repository.owner}/shop-of-mine"):
        repository.open_pull_request(connected.branch, head=head, by=fork)

    deployment_id = await previewed(reporting, connected)

    (row,) = rows(reporting, connected, found)
    assert words([row]) == [("shop preview", "✅ Ready")]
    await assert_leads_to(reporting, row, connected, deployment_id)
    assert len(repository.all_comments) == 1


@pytest.mark.parametrize("by", ["its own", "of a fork"])
async def test_no_open_pull_request_is_no_comment(reporting: ReportingSite, by: str) -> None:
    connected = await reporting.connected()
    repository = connected.repository
    if by == "its own":
        number = repository.open_pull_request(connected.branch)
        repository.pull_request(number).close()  # type: ignore[union-attr] # it was opened the line before
    else:
        repository.open_pull_request(connected.branch, head=Head(connected.sha), by="stranger/shop")

    deployment_id = await previewed(reporting, connected)

    assert repository.all_comments == {}
    assert (await reporting.shown(connected, deployment_id)).state == "success"


async def test_a_pull_request_that_is_opened_meanwhile_is_found_at_the_end(reporting: ReportingSite) -> None:
    connected = await reporting.connected()
    deployment_id = await reporting.deployment(connected, PREVIEW)

    async def begun() -> bool:
        return [each.state for each in connected.repository.deployments] == ["in_progress"]

    async with reporting.installation.held("await healthy regions.before"):
        waiting = asyncio.ensure_future(reporting.deploy(deployment_id))
        await until(begun)
        number = connected.repository.open_pull_request(connected.branch)
    await waiting

    assert words(rows(reporting, connected, number)) == [("shop preview", "✅ Ready")]


# ------------------------------------------------------------------------------------------------ one comment (06 · G2)


async def test_apps_that_are_deployed_at_once_share_the_comment_and_lose_no_row(reporting: ReportingSite) -> None:
    connected = await reporting.connected(apps=("default", "api"), regions=("us-east-1",), **PLENTY)
    for number in range(1, ROUNDS + 1):
        if number > ROUNDS // 2:
            await break_app(reporting, connected, "api")
        await deploy_both(reporting, connected, number)


async def break_app(site: ReportingSite, connected: Connected, app: str) -> None:
    """Let an app run nowhere, so that its deploys fail at once."""
    app_id = connected.world.apps[app].id
    await site.installation.set(tables.app_regional_settings, {"app_id": app_id}, app_id=f"{app_id}-gone")


async def deploy_both(site: ReportingSite, connected: Connected, number: int) -> None:
    """Deploy both apps of a new pull request at once, and check the comment."""
    branch, head = f"change-{number}", Head(secrets.token_hex(20))
    connected.repository.branches[branch] = head
    assert connected.repository.open_pull_request(branch) == number
    of_it = {"git_commit_sha": head.sha, "git_branch": branch}
    default, api = [await site.deployment(connected, PREVIEW, app=app, **of_it) for app in connected.world.apps]

    async with asyncio.TaskGroup() as both:
        both.create_task(site.deploy(default))
        of_api = both.create_task(fails_or_not(site, api))
    failed = of_api.result()

    assert len(connected.repository.comments(number)) == 1
    shown = rows(site, connected, number)
    second = "❌ Failed" if failed else "✅ Ready"
    assert words(shown) == [("shop preview", "✅ Ready"), ("shop/api preview", second)]
    await assert_leads_to(site, shown[0], connected, default)
    if failed:
        assert shows(shown[1].status.removeprefix("❌ Failed "), failed)
        assert (shown[1].preview_url, shown[1].commit) == ("", head.sha[:7])
    else:
        await assert_leads_to(site, shown[1], connected, api)


async def fails_or_not(site: ReportingSite, deployment_id: str) -> str:
    """Deploy, and return why it failed, if it did."""
    try:
        await site.deploy(deployment_id)
    except grpc.aio.AioRpcError as error:
        await told(site.installation, await site.installation.operation(deployment_id))
        return str(error.details())
    return ""


async def test_every_state_is_shown_in_words(reporting: ReportingSite, inside: InsideCaller) -> None:
    connected = await reporting.connected()
    number = connected.repository.open_pull_request(connected.branch)
    deployment_id = await previewed(reporting, connected)

    for state, description, status in WORDS:
        await report(reporting, inside, deployment_id, state, description)
        (row,) = rows(reporting, connected, number)
        assert row.status == status
        assert bool(row.preview_url) is (status == "✅ Ready")


@pytest.mark.parametrize("of", ["the workspace", "another workspace", "another workspace, of the same name"])
async def test_projects_that_share_a_repository_have_rows_of_their_own(reporting: ReportingSite, of: str) -> None:
    connected = await reporting.connected()
    number = connected.repository.open_pull_request(connected.branch)
    workspace = {"workspace": connected.world.workspace_slug} if of == "the workspace" else {}
    project = "shop" if of.endswith("same name") else "blog"
    other = await reporting.installation.world(project=project, **workspace)
    await reporting.connect(connected, other)

    first = await previewed(reporting, connected)
    given = {"git_commit_sha": connected.sha, "git_branch": connected.branch}
    second = await reporting.installation.deployment(other, PREVIEW, **given)
    await reporting.deploy(second)

    shown = rows(reporting, connected, number)
    assert {row.inspect_url.rpartition("/")[2] for row in shown} == {first, second}
    assert {row.app for row in shown} == {"shop preview", f"{project} preview"}


async def test_our_comment_is_found_behind_150_of_others(reporting: ReportingSite) -> None:
    connected = await reporting.connected(apps=("default", "api"))
    number = connected.repository.open_pull_request(connected.branch)
    for count in range(100):
        connected.repository.comment(number, f"I have {count} questions.")
    ours = connected.repository.add_comment(number, of_the_go_worker(connected, "api"), reporting.github.bot())
    for count in range(50):
        connected.repository.comment(number, f"It was answered {count} times.")

    await previewed(reporting, connected)
    await previewed(reporting, connected, app="api")

    assert reporting.comment(connected, number) is ours
    assert words(table(ours.body)) == [("shop preview", "✅ Ready"), ("shop/api preview", "✅ Ready")]
    assert len(connected.repository.comments(number)) == 151


async def test_there_is_one_comment_behind_150_of_others(reporting: ReportingSite) -> None:
    connected = await reporting.connected()
    number = connected.repository.open_pull_request(connected.branch)
    for count in range(150):
        connected.repository.comment(number, f"I have {count} questions.")

    await previewed(reporting, connected)

    assert words(rows(reporting, connected, number)) == [("shop preview", "✅ Ready")]
    assert len(connected.repository.comments(number)) == 151


@pytest.mark.parametrize("author", [{"login": "stranger"}, {"bot_of": "another-app"}], ids=["a person", "a bot"])
async def test_a_marker_that_somebody_else_planted_is_left_alone(
    reporting: ReportingSite, author: dict[str, str]
) -> None:
    connected = await reporting.connected()
    number = connected.repository.open_pull_request(connected.branch)
    text = of_the_go_worker(connected, "default", "planted")
    planted = connected.repository.comment(number, text, **author)

    await previewed(reporting, connected)

    assert planted.body == text
    assert connected.repository.comments(number)[0] is planted
    assert words(rows(reporting, connected, number)) == [("shop preview", "✅ Ready")]


async def test_a_comment_that_somebody_deleted_is_written_anew_with_all_its_rows(reporting: ReportingSite) -> None:
    connected = await reporting.connected(apps=("default", "api"))
    number = connected.repository.open_pull_request(connected.branch)
    await previewed(reporting, connected)
    deleted = reporting.comment(connected, number)
    del connected.repository.all_comments[deleted.comment_id]

    await previewed(reporting, connected, app="api")

    assert words(rows(reporting, connected, number)) == [
        ("shop preview", "✅ Ready"),
        ("shop/api preview", "✅ Ready"),
    ]


# --------------------------------------------------------------------------------------- after a Go worker (05 · state)


def of_the_go_worker(connected: Connected, *apps: str) -> str:
    """Write a comment as a Go worker before us has left it."""
    page = f"{DASHBOARD}/{connected.world.workspace_slug}/projects/{connected.world.project_id}/deployments/d_old"
    lines = [
        f"| <!-- row:{app}:preview --> **{app}** (preview) | Ready | [Visit](https://old.example.com) "
        f"| [Inspect]({page}) | Nov 22, 2026 |"
        for app in apps
    ]
    head = ["| Name | Status | Preview | Inspect | Updated (UTC) |", "| :-- | :-- | :-- | :-- | :-- |"]
    return "\n".join([MARKER, *head, *lines])


async def test_the_comment_of_a_go_worker_is_taken_over(reporting: ReportingSite) -> None:
    connected = await reporting.connected(apps=("default", "api"))
    number = connected.repository.open_pull_request(connected.branch)
    text = of_the_go_worker(connected, "default", "api")
    connected.repository.add_comment(number, text, reporting.github.bot())

    deployment_id = await previewed(reporting, connected)

    body = reporting.comment(connected, number).body
    left = [line for line in body.splitlines() if "d_old" in line]
    assert left == text.splitlines()[-1:]
    (row,) = (row for row in table(body) if row.app == "shop preview")
    await assert_leads_to(reporting, row, connected, deployment_id)


async def test_the_comment_that_a_go_worker_remembers_is_the_one(
    reporting: ReportingSite, inside: InsideCaller
) -> None:
    connected = await reporting.connected()
    number = connected.repository.open_pull_request(connected.branch)
    text = of_the_go_worker(connected, "default")
    other, known = [connected.repository.add_comment(number, text, reporting.github.bot()) for _ in range(2)]
    deployment_id = await reporting.deployment(connected, PREVIEW)
    await inside.set_state(STATUS, deployment_id, kept_by_the_go_worker(connected, number, known.comment_id))

    await report(reporting, inside, deployment_id, State.GITHUB_DEPLOYMENT_STATE_FAILURE, "It is broken")

    assert other.body == text
    assert [(row.app, row.status) for row in table(known.body)] == [("shop preview", "❌ Failed It is broken")]
    listed = [asked for asked in reporting.asked_of(connected) if asked.path.endswith(f"/{number}/comments")]
    assert listed == []


def kept_by_the_go_worker(connected: Connected, number: int, comment_id: int) -> dict[str, Any]:
    """Spell its state: the request as Go's encoding/json does, and numbers."""
    config = {
        "installation_id": connected.installation_id,
        "repo": connected.repository.full_name,
        "commit_sha": connected.sha,
        "branch": connected.branch,
        "environment_label": "shop - preview",
        "environment_url": "https://shop-preview.example.com",
        "log_url": f"{DASHBOARD}/acme/projects/{connected.world.project_id}/deployments/d_1",
        "project_slug": "shop",
        "app_slug": "default",
        "env_slug": "preview",
    }
    return {"config": config, "pr_number": number, "pr_comment_id": comment_id}


async def report(site: ReportingSite, inside: InsideCaller, deployment_id: str, state: State, description: str) -> None:
    """Report from inside, and wait until it is in the comment."""
    request = github_status_pb2.GitHubStatusReportRequest(state=state, description=description)
    await inside.call(STATUS, "ReportStatus", deployment_id, request)
    calls = await site.installation.admin_query(
        "select id from sys_invocation where target_handler_name = 'ReportStatus' "
        f"and target_service_key = '{deployment_id}'"
    )
    for call in calls:
        await told(site.installation, call["id"])


# --------------------------------------------------------------------------------------------- late reports (06 · G3)


async def test_a_late_report_of_an_older_deployment_stays_out_of_the_newer_ones_row(
    reporting: ReportingSite, inside: InsideCaller
) -> None:
    connected = await reporting.connected()
    number = connected.repository.open_pull_request(connected.branch)
    older = await previewed(reporting, connected)
    newer = await previewed(reporting, connected)
    before = reporting.comment(connected, number).body

    await report(reporting, inside, older, State.GITHUB_DEPLOYMENT_STATE_FAILURE, "It broke long ago")

    assert reporting.comment(connected, number).body == before
    (row,) = table(before)
    await assert_leads_to(reporting, row, connected, newer)
    assert (await reporting.shown(connected, older)).state == "failure"


async def test_an_older_deployment_that_ends_later_stays_out_of_the_newer_ones_row(reporting: ReportingSite) -> None:
    connected = await reporting.connected()
    number = connected.repository.open_pull_request(connected.branch)
    older = await reporting.deployment(connected, PREVIEW)
    for agent in reporting.installation.agents.values():
        agent.behave(AgentBehaviour(dead=True), older)
    waiting = asyncio.ensure_future(fails_or_not(reporting, older))

    async def shown() -> bool:
        return bool(connected.repository.comments(number))

    await until(shown)
    newer = await previewed(reporting, connected)
    await reporting.installation.cancel(await reporting.installation.operation(older))
    assert await waiting

    (row,) = rows(reporting, connected, number)
    assert row.status == "✅ Ready"
    await assert_leads_to(reporting, row, connected, newer)
    # Where this test is slow the older one's time was up before it was cancelled.
    assert (await reporting.shown(connected, older)).state in ("error", "failure")


# ------------------------------------------------------------------------------------------------------------- secrets


async def test_nothing_that_is_written_down_holds_a_token_or_the_key(reporting: ReportingSite) -> None:
    """06 · X3: not even where GitHub tells a token back."""
    connected = await reporting.connected()
    connected.repository.open_pull_request(connected.branch)
    await previewed(reporting, connected)
    tokens = list(reporting.github.tokens.given)
    told_back = Fault(422, body={"message": f"Bad credentials {' '.join(tokens)}"})
    reporting.github.faults.plan(f"/repos/{connected.repository.full_name}/*", told_back, method="POST", times=3)
    await previewed(reporting, connected)

    planted = {*reporting.github.app.private_key_pem.splitlines()[1:-1], *reporting.github.tokens.given}
    planted |= {asked.headers["Authorization"].partition(" ")[2] for asked in reporting.github.requests}
    assert len(planted) > 20
    written = await written_down(reporting)
    assert "not reported to GitHub" in written["the log"]
    for where, text in written.items():
        assert connected.repository.full_name in text, where
        assert not [secret for secret in planted if secret in text], where


async def written_down(site: ReportingSite) -> dict[str, str]:
    """Read all that reporting leaves behind: log, journals, state and rows."""
    journals = await site.installation.admin_query("select raw from sys_journal")
    state = await site.installation.admin_query("select value_utf8 from state")
    every_table = [*tables.ours.tables.values(), *tables.reference.tables.values()]
    return {
        "the log": site.installation.stack.worker_log.read_text(),
        "the journals": " ".join(str(bytes.fromhex(str(entry.get("raw", "")))) for entry in journals),
        "the state": " ".join(str(entry["value_utf8"]) for entry in state),
        "the rows": str([await site.installation.rows(table) for table in every_table]),
    }
