"""A deployment as GitHub shows it on the commit: 02 · 8, from the first word to the last."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import grpc.aio
import pytest
from hydra.v1 import deploy_pb2

from service.database import tables
from service.dev.workload import AgentBehaviour
from service.dev.world import World
from service.domain.deployment import PREVIEW, PRODUCTION
from tests.installation import HEARS_IN_A_STEP
from tests.reporting_site import DASHBOARD, Connected, ReportingSite, shows, told
from tests.servers.github_records import Deployment
from tests.waiting import appears

GOOD_END = ["pending", "in_progress", "success"]


def states(deployment: Deployment) -> list[str]:
    return [status.state for status in deployment.statuses]


def last_words(deployment: Deployment) -> tuple[str, str]:
    newest = deployment.statuses[-1]
    return newest.state, newest.description


async def refused(call: Awaitable[Any]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value


async def deployed(site: ReportingSite, connected: Connected, environment: str = PRODUCTION) -> str:
    deployment_id = await site.deployment(connected, environment)
    await site.deploy(deployment_id)
    return deployment_id


async def moved(site: ReportingSite, kind: str, target: str, source: str = "") -> None:
    """Roll back or promote, and wait until GitHub has heard of it."""
    if kind == "rollback":
        back = deploy_pb2.RollbackRequest(source_deployment_id=source, target_deployment_id=target)
        await site.installation.stub.Rollback(back, timeout=30)
    else:
        await site.installation.stub.Promote(deploy_pb2.PromoteRequest(target_deployment_id=target), timeout=30)
    operations = await site.installation.rows(tables.hydra_operations, to_deployment_id=target, kind=kind)
    for operation in operations:
        await told(site.installation, operation["id"])


async def unhealthy(site: ReportingSite, deployment_id: str, *, dead: bool = True) -> None:
    for agent in site.installation.agents.values():
        agent.behave(AgentBehaviour(dead=dead), deployment_id)


@pytest.mark.parametrize(
    ("app", "environment", "label"),
    [
        ("default", PRODUCTION, "shop - production"),
        ("default", PREVIEW, "shop - preview"),
        ("api", PREVIEW, "shop/api - preview"),
    ],
)
async def test_a_deploy_is_shown_from_its_beginning_to_its_end(
    reporting: ReportingSite, app: str, environment: str, label: str
) -> None:
    connected = await reporting.connected(apps=("default", "api"))
    world = connected.world
    deployment_id = await reporting.deployment(connected, environment, app=app)

    await reporting.deploy(deployment_id)

    shown = await reporting.shown(connected, deployment_id)
    assert connected.repository.deployments == [shown]
    assert (shown.ref, shown.environment) == (connected.sha, label)
    assert (shown.is_transient, shown.is_production) == (environment != PRODUCTION, environment == PRODUCTION)
    assert states(shown) == GOOD_END
    prefix = "shop" if app == "default" else "shop-api"
    url = f"https://{prefix}-{environment}-{world.workspace_slug}.hydra.localhost"
    page = f"{DASHBOARD}/{world.workspace_slug}/projects/{world.project_id}/deployments/{deployment_id}"
    assert {(each.environment, each.environment_url, each.log_url) for each in shown.statuses} == {(label, url, page)}


async def test_github_is_asked_to_check_and_merge_nothing_and_to_retire_what_was_there(
    reporting: ReportingSite,
) -> None:
    connected = await reporting.connected()
    connected.repository.unchecked.add(connected.sha)

    deployment_id = await deployed(reporting, connected)

    made = [asked for asked in reporting.asked_of(connected) if asked.method == "POST"]
    (opened,) = (asked.body for asked in made if asked.path.endswith("/deployments"))
    assert (opened["required_contexts"], opened["auto_merge"]) == ([], False)
    retires = [asked.body["auto_inactive"] for asked in made if asked.path.endswith("/statuses")]
    assert retires == [True, True, True]
    assert states(await reporting.shown(connected, deployment_id)) == GOOD_END


async def test_a_name_that_another_app_holds_is_not_linked(reporting: ReportingSite) -> None:
    first = await reporting.connected(apps=("api",))
    await deployed(reporting, first, PREVIEW)
    second = await reporting.connected(workspace=first.world.workspace_slug, project="shop-api")

    deployment_id = await deployed(reporting, second, PREVIEW)

    shown = await reporting.shown(second, deployment_id)
    routes = await reporting.installation.rows(tables.frontline_routes, deployment_id=deployment_id)
    (own,) = (row["fully_qualified_domain_name"] for row in routes if row["sticky"] == "environment")
    assert not own.startswith(f"shop-api-preview-{first.world.workspace_slug}.")
    assert shown.statuses[-1].environment_url == f"https://{own}"


async def test_an_app_that_is_not_connected_reports_nothing(reporting: ReportingSite) -> None:
    connected = await reporting.connected()
    apart = await reporting.installation.world()
    given = {"git_commit_sha": connected.sha, "git_branch": connected.branch}
    deployments = [await reporting.installation.deployment(apart, **given) for _ in range(2)]

    assert [await reporting.deploy(deployment_id) for deployment_id in deployments] == [[], []]
    await moved(reporting, "rollback", *deployments)

    assert await reported_at_all(reporting, apart) == []
    assert reporting.asked_of(connected) == []


async def test_a_deployment_without_a_commit_reports_nothing(reporting: ReportingSite) -> None:
    connected = await reporting.connected()
    deployment_id = await reporting.deployment(connected, git_commit_sha=None)

    assert await reporting.deploy(deployment_id) == []

    assert await reported_at_all(reporting, connected.world) == []
    assert reporting.asked_of(connected) == []


async def reported_at_all(site: ReportingSite, world: World) -> list[str]:
    """Find the calls about deployments of an app that GitHubStatusService has had, by name."""
    rows = await site.installation.rows(tables.deployments, app_id=world.app.id)
    calls = await site.installation.admin_query(
        "select target_service_key, target_handler_name from sys_invocation "
        "where target_service_name = 'hydra.v1.GitHubStatusService'"
    )
    ours = {row["id"] for row in rows}
    return sorted(call["target_handler_name"] for call in calls if call["target_service_key"] in ours)


async def test_a_deployment_that_github_knows_already_is_gone_on_with(reporting: ReportingSite) -> None:
    connected = await reporting.connected()
    deployment_id = await reporting.deployment(connected)
    stamps, sha = connected.repository.stamps, connected.sha
    known = Deployment(stamps.next_id(), sha, sha, reporting.github.bot(), stamps.now(), "shop - production")
    connected.repository.deployments.append(known)
    where = {"id": deployment_id}
    await reporting.installation.set(tables.deployments, where, github_deployment_id=known.deployment_id)

    await reporting.deploy(deployment_id)

    assert connected.repository.deployments == [known]
    assert states(known) == GOOD_END


async def test_a_github_deployment_that_somebody_deleted_is_made_anew(reporting: ReportingSite) -> None:
    connected = await reporting.connected()
    older, newer = [await deployed(reporting, connected) for _ in range(2)]
    connected.repository.deployments.remove(await reporting.shown(connected, older))

    await moved(reporting, "rollback", older, newer)

    shown = await reporting.shown(connected, older)
    assert (states(shown), shown.ref) == (["success"], connected.sha)


async def test_too_few_healthy_regions_are_a_failure_and_the_next_attempt_goes_on_there(
    reporting: ReportingSite,
) -> None:
    connected = await reporting.connected()
    deployment_id = await reporting.deployment(connected)
    await unhealthy(reporting, deployment_id)

    error = await refused(reporting.deploy(deployment_id))

    assert error.code() is grpc.StatusCode.ABORTED
    await told(reporting.installation, await reporting.installation.operation(deployment_id))
    shown = await reporting.shown(connected, deployment_id)
    assert states(shown) == ["pending", "in_progress", "failure"]
    assert shows(last_words(shown)[1], str(error.details()))
    await unhealthy(reporting, deployment_id, dead=False)
    await reporting.deploy(deployment_id)
    assert connected.repository.deployments == [shown]
    assert states(shown) == ["pending", "in_progress", "failure", *GOOD_END]


async def test_a_fault_of_the_settings_is_a_failure(reporting: ReportingSite) -> None:
    connected = await reporting.connected(regions=())
    deployment_id = await reporting.deployment(connected)

    error = await refused(reporting.deploy(deployment_id))

    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    await told(reporting.installation, await reporting.installation.operation(deployment_id))
    state, why = last_words(await reporting.shown(connected, deployment_id))
    assert state == "failure"
    assert shows(why, str(error.details()))


async def test_what_an_operator_cancels_is_no_failure_of_the_app(reporting: ReportingSite) -> None:
    connected = await reporting.connected()
    deployment_id = await reporting.deployment(connected)

    async with reporting.installation.held("await healthy regions.before") as reached:
        waiting = asyncio.ensure_future(refused(reporting.deploy(deployment_id)))

        await appears(reached)
        operation_id = await reporting.installation.operation(deployment_id)
        await reporting.installation.cancel(operation_id)
        if HEARS_IN_A_STEP:
            await asyncio.wait({waiting})

    assert (await waiting).code() is grpc.StatusCode.CANCELLED
    await told(reporting.installation, operation_id)
    shown = await reporting.shown(connected, deployment_id)
    assert states(shown) == ["pending", "in_progress", "error"]
    assert "cancelled" in last_words(shown)[1]


async def test_a_deploy_that_is_refused_reports_nothing(reporting: ReportingSite) -> None:
    connected = await reporting.connected()
    deployment_id = await reporting.deployment(connected)
    gone = connected.world.workspace_id
    await reporting.installation.set(tables.workspaces, {"id": gone}, id=f"{gone}-gone")

    error = await refused(reporting.deploy(deployment_id))

    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert await told(reporting.installation, await reporting.installation.operation(deployment_id)) == []
    assert reporting.asked_of(connected) == []


async def test_a_deployment_that_is_ready_is_not_reported_again(reporting: ReportingSite) -> None:
    connected = await reporting.connected()
    deployment_id = await deployed(reporting, connected)

    await reporting.installation.deploy(deployment_id)

    assert await reported_at_all(reporting, connected.world) == ["Init", "ReportStatus", "ReportStatus"]
    assert states(await reporting.shown(connected, deployment_id)) == GOOD_END


async def test_a_deploy_retires_the_one_that_it_replaces(reporting: ReportingSite) -> None:
    connected = await reporting.connected()
    older = await deployed(reporting, connected)

    newer = await deployed(reporting, connected)

    assert states(await reporting.shown(connected, older)) == [*GOOD_END, "inactive"]
    assert states(await reporting.shown(connected, newer)) == GOOD_END


async def test_previews_stand_side_by_side(reporting: ReportingSite) -> None:
    connected = await reporting.connected()
    deployments = [await deployed(reporting, connected, PREVIEW) for _ in range(2)]

    for deployment_id in deployments:
        assert states(await reporting.shown(connected, deployment_id)) == GOOD_END


async def test_a_rollback_is_shown_and_so_is_its_confirmation(reporting: ReportingSite) -> None:
    connected = await reporting.connected()
    older, newer = [await deployed(reporting, connected) for _ in range(2)]

    await moved(reporting, "rollback", older, newer)

    assert last_words(await reporting.shown(connected, older)) == ("success", "Live again after a rollback")
    assert last_words(await reporting.shown(connected, newer)) == ("inactive", "Rolled back")
    await moved(reporting, "promote", older)
    assert last_words(await reporting.shown(connected, older))[0] == "success"
    assert last_words(await reporting.shown(connected, newer))[0] == "inactive"


async def test_a_promotion_is_shown(reporting: ReportingSite) -> None:
    connected = await reporting.connected()
    older, newer = [await deployed(reporting, connected) for _ in range(2)]
    await moved(reporting, "rollback", older, newer)
    newest = await deployed(reporting, connected)
    assert last_words(await reporting.shown(connected, older))[0] == "success"

    await moved(reporting, "promote", newest)

    assert last_words(await reporting.shown(connected, newest)) == ("success", "Promoted: live")
    assert last_words(await reporting.shown(connected, older)) == ("inactive", "Replaced by a promotion")
    assert last_words(await reporting.shown(connected, newer))[0] == "inactive"


async def test_a_deployment_that_was_never_shown_is_not_shown_by_a_rollback(reporting: ReportingSite) -> None:
    connected = await reporting.connected()
    apart = await reporting.installation.world()
    unseen = await reporting.installation.deployment(apart, git_commit_sha=connected.sha)
    await reporting.deploy(unseen)
    await reporting.connect(connected, apart)
    newer = await reporting.installation.deployment(apart, git_commit_sha=connected.sha)
    await reporting.deploy(newer)

    await moved(reporting, "rollback", unseen, newer)

    shown = await reporting.shown(connected, newer)
    assert connected.repository.deployments == [shown]
    assert last_words(shown) == ("inactive", "Rolled back")
    row = await reporting.installation.row(tables.deployments, id=unseen)
    assert row["github_deployment_id"] is None
