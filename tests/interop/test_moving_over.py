"""From an earlier worker to ours while it works: nothing is lost, and what was begun ends (docs/migration.md)."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hydra.v1 import deploy_pb2, deployment_pb2, versioning_pb2

from service.database import tables
from service.dev.stack import LocalStack
from tests.earlier_worker import EarlierWorker, our_uri
from tests.inside_caller import InsideCaller
from tests.installation import Installation, stack_options
from tests.migration_page import Operator, client_options
from tests.old_installation import Contents, OldInstallation, contents, create_database
from tests.old_world import (
    DEPLOYMENT,
    HOUR_MS,
    STATUSES,
    VERSIONING,
    OldWorld,
    Replaced,
    counted,
    old_world,
    schedule_stop,
    send_deploy,
)
from tests.reporting_site import ReportingSite, our_comment, table
from tests.servers.github import FakeGitHub
from tests.servers.mariadb import MariaDB
from tests.waiting import until

pytestmark = [
    pytest.mark.parametrize("server", ["mariadb"], indirect=True, scope="session"),
    pytest.mark.xdist_group("moving"),
]


@dataclass(frozen=True)
class Moved:
    """An installation after the move, and what was seen of it meanwhile."""

    site: ReportingSite
    inside: InsideCaller
    earlier: EarlierWorker
    operator: Operator
    old: OldWorld
    counters: dict[str, int]
    due: dict[str, Any]
    open_rollbacks: str
    in_flight: list[dict[str, Any]]
    seen: list[Contents]
    migrations: list[str]

    @property
    def installation(self) -> Installation:
        return self.site.installation


# ---------------------------------------------------------------------------------------------------------- the move


@pytest.fixture(scope="module")
async def moved(server: MariaDB, programs: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Moved]:
    """Move an installation over, by the page."""
    folder = tmp_path_factory.mktemp("moving")
    dsns = await create_database(server)
    async with AsyncExitStack() as exits:
        github = await exits.enter_async_context(FakeGitHub())
        options = replace(stack_options(folder, dsns.service, environ=app_of(github)), service=False)
        installation = await exits.enter_async_context(Installation(LocalStack(folder, options)))
        inside = await exits.enter_async_context(InsideCaller(installation))
        earlier = await exits.enter_async_context(EarlierWorker(programs, folder / "earlier"))
        await earlier.register(installation)
        site = ReportingSite(installation, github)
        old = await old_world(OldInstallation(site, inside), earlier)
        operator = Operator(
            ADMIN=installation.stack.restate.admin_url,
            CONFIG=str(installation.stack.config_file),
            DATABASE=client_options(folder, dsns.service),
            MIGRATOR=dsns.owner,
            OLD=earlier.uri,
        )
        seen = [await contents(installation.database)]
        counters = await counted(installation)
        open_rollbacks, in_flight = await operator.run("open rollbacks"), await operator.ask("in flight")
        migrations = [await operator.run("migrate") for _ in range(2)]
        seen.append(await contents(installation.database))
        await installation.stack.start_worker({"HYDRA_RESTATE__REGISTER_AS": ""})
        seen.append(await contents(installation.database))
        operator.names["NEW"] = our_uri(installation)
        due = await take_over(installation, inside, operator, old.to_rest.leaving_id)
        yield Moved(site, inside, earlier, operator, old, counters, due, open_rollbacks, in_flight, seen, migrations)


def app_of(github: FakeGitHub) -> dict[str, str]:
    """Configure the App of a GitHub."""
    return {
        "HYDRA_GITHUB__APP_ID": str(github.app.app_id),
        "HYDRA_GITHUB__PRIVATE_KEY_PEM": github.app.private_key_pem,
        "HYDRA_GITHUB__API_URL": github.url,
    }


async def take_over(
    installation: Installation, inside: InsideCaller, operator: Operator, leaving_id: str
) -> dict[str, Any]:
    """Take over after the earlier worker has scheduled a stop, and before it is due, however long that takes.

    Returns the message that is on its way until then.
    """
    delay_ms = 8_000
    on_its_way = (
        "select * from sys_invocation where status = 'scheduled' "
        f"and target = '{DEPLOYMENT}/{leaving_id}/ChangeDesiredState'"
    )
    while True:
        await operator.run("give back")
        await schedule_stop(inside, leaving_id, delay_ms)
        await operator.run("take over")
        if due := await installation.admin_query(on_its_way):
            return due[0]
        delay_ms *= 2


# -------------------------------------------------------------------------------------------------- what is there after


async def test_nothing_is_lost(moved: Moved) -> None:
    before, migrated, started = moved.seen
    assert all(before.rows.values()), "there is nothing to lose in a table"
    assert set(migrated.statements) - set(before.statements) == set(tables.ours.tables)
    for after in (migrated, started):
        assert {name: after.statements[name] for name in before.statements} == before.statements
        assert {name: after.rows[name] for name in before.rows} == before.rows


async def test_the_page_shows_what_to_look_at_before(moved: Moved) -> None:
    assert moved.old.rolled_back.leaving_id in moved.open_rollbacks
    key = moved.old.in_flight.of.world.workspace_id
    assert {row["target"] for row in moved.in_flight} == {f"hydra.v1.DeployService/{key}/Deploy"}
    waits, works = sorted(row["status"] for row in moved.in_flight)
    assert waits == "pending"
    assert works in ("running", "suspended")


async def test_all_services_change_hands(moved: Moved) -> None:
    assert await served_by(moved) == {moved.operator.names["NEW"]}


async def served_by(moved: Moved, *but: str) -> set[str]:
    """Read who serves, without some of the services."""
    rows = await moved.operator.ask("who serves")
    return {row["endpoint"].rstrip("/") for row in rows if row["name"] not in but}


async def test_a_migration_makes_our_tables_and_then_nothing(moved: Moved) -> None:
    first, second = moved.migrations
    assert first.startswith("brought our own tables to version ")
    assert second == "nothing to do: the database has all that the service needs\n"


async def test_versions_go_on_above_the_earlier_ones(moved: Moved) -> None:
    for region_id, counter in moved.counters.items():
        request = versioning_pb2.NextVersionRequest()
        assert (await moved.inside.call(VERSIONING, "NextVersion", region_id, request)).version > counter


@pytest.mark.parametrize("status", STATUSES)
async def test_a_deployment_in_any_status_can_be_deployed(moved: Moved, status: str) -> None:
    deployment_id = moved.old.by_status[status]
    await moved.installation.deploy(deployment_id)
    assert await moved.installation.status(deployment_id) == "ready"
    steps = (await moved.installation.steps(deployment_id)).values()
    assert [step["error"] for step in steps if step["error"]] == []
    stamped = await moved.installation.rows(tables.deployment_topology, deployment_id=deployment_id)
    assert {row["desired_status"] for row in stamped} == {"running"}


async def rests(installation: Installation, deployment_id: str) -> None:
    """Wait until a deployment is at rest, and check that its regions are told so."""

    async def stands_by() -> bool:
        row = await installation.row(tables.deployments, id=deployment_id)
        return bool(row["desired_state"] == "standby")

    await until(stands_by)
    stopped = await installation.rows(tables.deployment_topology, deployment_id=deployment_id)
    assert {row["desired_status"] for row in stopped} == {"stopped"}


async def test_a_pending_stop_comes_at_its_time(moved: Moved) -> None:
    installation, place = moved.installation, moved.old.to_rest
    await rests(installation, place.leaving_id)
    operation = await installation.row(tables.hydra_operations, deployment_id=place.leaving_id)
    due = datetime.fromisoformat(moved.due["scheduled_start_at"])
    assert (operation["id"], operation["state"]) == (moved.due["id"], "succeeded")
    assert operation["started_at"] >= int(due.timestamp() * 1000)
    for row in await installation.rows(tables.deployment_topology, deployment_id=place.leaving_id):
        assert row["version"] > moved.counters[row["region_id"]]
    assert await moved.inside.state(DEPLOYMENT, place.leaving_id) == {}


async def test_a_deploy_in_flight_ends_where_it_began(moved: Moved) -> None:
    """It is the earlier worker's to the end, and whatever it calls from now on is ours."""
    installation, begun = moved.installation, moved.old.in_flight
    again = await send_deploy(installation, begun.of.world.workspace_id, begun.deployment_id)
    assert again == {"invocationId": begun.invocation_id, "status": "PreviouslyAccepted"}
    live = {"current_deployment_id": begun.deployment_id}  # as the earlier worker writes it, which has no database here
    await installation.set(tables.apps, {"id": begun.of.world.app.id}, **live)
    await resolve(installation, begun.awakeable)
    ended = await end_of(installation, begun.invocation_id)
    assert (ended["completion_result"], ended["endpoint"]) == ("success", f"{moved.earlier.uri}/")
    for region in begun.of.world.regions.values():
        heard = moved.earlier.notes("heard", "VersioningService/NextVersion", region.id)
        assert int(heard[-1].message["version"]) > moved.counters[region.id]
    routes = await installation.rows(tables.frontline_routes, app_id=begun.of.world.app.id)
    assert {row["deployment_id"] for row in routes} == {begun.deployment_id}
    await rests(installation, begun.replaced_id)
    assert await moved.operator.ask("drained") == [{"remaining": 0}]


async def test_what_waited_behind_it_is_ours(moved: Moved) -> None:
    """The earlier worker's handlers are exclusive: a deploy with the same key had to wait, and was begun nowhere."""
    installation, deployment_id = moved.installation, moved.old.queued_id
    await resolve(installation, moved.old.in_flight.awakeable)

    async def is_ready() -> bool:
        return await installation.status(deployment_id) == "ready"

    await until(is_ready)
    got = moved.earlier.notes("got", "DeployService/Deploy")
    assert deployment_id not in {note.message["deploymentId"] for note in got}


async def test_github_is_told_on_of_a_deploy_that_was_in_flight(moved: Moved) -> None:
    installation, begun = moved.installation, moved.old.in_flight
    await resolve(installation, begun.awakeable)
    await end_of(installation, begun.invocation_id)

    async def is_told() -> bool:
        return any(row.status.startswith("✅") for row in table(begun.comment.body))

    await until(is_told)
    assert begun.of.repository.deployments == [begun.on_github]
    assert [status.state for status in begun.on_github.statuses] == ["success"]
    (number,) = begun.of.repository.pull_requests
    assert our_comment(moved.site.github, begun.of.repository, number) is begun.comment


async def test_github_has_one_deployment_of_what_is_deployed_again(moved: Moved) -> None:
    """Its first deploy was killed, and of GitHub's deployment only the state in Restate knows."""
    begun = moved.old.killed
    row = await moved.installation.row(tables.deployments, id=begun.deployment_id)
    assert row["github_deployment_id"] is None
    await moved.site.deploy(begun.deployment_id)
    assert begun.of.repository.deployments == [begun.on_github]
    assert [status.state for status in begun.on_github.statuses] == ["pending", "in_progress", "success"]
    row = await moved.installation.row(tables.deployments, id=begun.deployment_id)
    assert (row["status"], row["github_deployment_id"]) == ("ready", begun.on_github.deployment_id)
    (number,) = begun.of.repository.pull_requests
    assert our_comment(moved.site.github, begun.of.repository, number) is begun.comment


async def test_traffic_returns_to_what_the_earlier_worker_made_ready(moved: Moved) -> None:
    """First to a deployment that it was to stop, which no longer happens; then to one at rest."""
    installation, place = moved.installation, moved.old.to_return
    pending = (await moved.inside.state(DEPLOYMENT, place.leaving_id))["transition"]
    back = deploy_pb2.RollbackRequest(source_deployment_id=place.live_id, target_deployment_id=place.leaving_id)
    await installation.stub.Rollback(back, timeout=30)
    assert await owners(installation, place) == {place.leaving_id}
    await carry_out(moved.inside, place.leaving_id, pending)
    assert await installation.rows(tables.hydra_operations, kind="desired_state", deployment_id=place.leaving_id) == []
    await installation.stub.Promote(deploy_pb2.PromoteRequest(target_deployment_id=place.asleep_id), timeout=30)
    assert await owners(installation, place) == {place.asleep_id}
    for replaced_id in (place.live_id, place.leaving_id):
        await rests(installation, replaced_id)


async def carry_out(inside: InsideCaller, deployment_id: str, pending: dict[str, Any]) -> None:
    """Send the message of a pending stop, whose time is far."""
    change = deployment_pb2.ChangeDesiredStateRequest(nonce=pending["Nonce"], state=pending["To"])
    await inside.call(DEPLOYMENT, "ChangeDesiredState", deployment_id, change)


async def owners(installation: Installation, place: Replaced) -> set[str]:
    """Read who has the app's traffic, by its routes and by its live pointer."""
    routes = await installation.rows(tables.frontline_routes, app_id=place.of.world.app.id)
    live = {row["deployment_id"] for row in routes if row["sticky"] in ("live", "environment")}
    return {*live, str(await installation.live(place.of.world))}


async def test_a_rollback_of_the_earlier_worker_is_confirmed(moved: Moved) -> None:
    """What it left running is not known to us, so it is left alone: the page says to confirm rollbacks before."""
    installation, place = moved.installation, moved.old.rolled_back
    await installation.stub.Promote(deploy_pb2.PromoteRequest(target_deployment_id=place.leaving_id), timeout=30)
    app = await installation.row(tables.apps, id=place.of.world.app.id)
    assert (app["current_deployment_id"], app["is_rolled_back"]) == (place.leaving_id, False)
    assert await installation.rows(tables.hydra_operations, deployment_id=place.live_id) == []
    assert (await installation.row(tables.deployments, id=place.live_id))["desired_state"] == "running"


# ------------------------------------------------------------------------------------------- back, and over once more


async def test_the_way_back_and_there_again(moved: Moved) -> None:
    """The earlier worker counts on above ours and finds the stops that we have scheduled; and then the other way."""
    installation, operator, earlier = moved.installation, moved.operator, moved.earlier
    of = await moved.site.connected()
    regions = [region.id for region in of.world.regions.values()]
    first, second, third = [await moved.site.deployment(of) for _ in range(3)]
    for deployment_id in (first, second):
        await moved.site.deploy(deployment_id)
    await schedule_stop(moved.inside, second, HOUR_MS)
    await drained(moved, far_off=2)
    counters = {row["region_id"]: row["version"] for row in await installation.rows(tables.hydra_region_versions)}
    before = await counted(installation)
    assert any(before[region_id] < counters[region_id] for region_id in regions), "it would count on below ours"

    await operator.run("hand the numbers over")

    async def handed_over() -> bool:
        after = await counted(installation)
        return all(after[region_id] > counter for region_id, counter in counters.items())

    await until(handed_over)
    await operator.run("compare the numbers")
    await operator.run("give back")
    ours_alone = ("hydra.v1.PullRequestCommentService", "hydra.v1.ReconcileService")
    assert await served_by(moved, *ours_alone) == {earlier.uri}
    for deployment_id in (second, third):
        earlier.plan(deployment_id, {"regions": regions})
    await end_of(installation, (await send_deploy(installation, of.world.app.id, third))["invocationId"])
    heard = {each: earlier.notes("heard", "VersioningService/NextVersion", each)[-1].message for each in regions}
    numbers = {region_id: int(message["version"]) for region_id, message in heard.items()}
    assert all(numbers[region_id] > counters[region_id] for region_id in regions)
    pending = (await moved.inside.state(DEPLOYMENT, second))["transition"]
    await carry_out(moved.inside, second, pending)
    assert await moved.inside.state(DEPLOYMENT, second) == {}
    numbers |= await counted(installation)

    await operator.run("forget the numbers")
    await operator.run("take over")
    assert await served_by(moved) == {operator.names["NEW"]}
    await installation.deploy(third)
    for row in await installation.rows(tables.deployment_topology, deployment_id=third):
        assert row["version"] > numbers[row["region_id"]]


async def drained(moved: Moved, far_off: int) -> None:
    """Wait until ours has nothing more to do, but for some stops."""
    query = "select count(*) as stops from sys_invocation where status = 'scheduled'"

    async def over() -> bool:
        stops = await moved.installation.admin_query(query)
        left = await moved.operator.ask("ours drained")
        return (stops, left) == ([{"stops": far_off}], [{"remaining": 0}])

    await until(over)


async def resolve(installation: Installation, awakeable: str) -> None:
    """Let the earlier worker go on with what it holds; it may have been told before."""
    url = f"{installation.stack.restate.ingress_url}/restate/awakeables/{awakeable}/resolve"
    async with installation.http.post(url) as answer:
        assert answer.status == 202, await answer.text()


async def end_of(installation: Installation, invocation_id: str) -> dict[str, Any]:
    """Wait for the end of an invocation, and return how it ended and where."""
    query = (
        "select i.status, i.completion_result, d.endpoint from sys_invocation i "
        f"left join sys_deployment d on d.id = i.pinned_deployment_id where i.id = '{invocation_id}'"
    )
    ended: list[dict[str, Any]] = []

    async def over() -> bool:
        ended[:] = await installation.admin_query(query)
        return bool(ended[0]["status"] == "completed")

    await until(over)
    return ended[0]
