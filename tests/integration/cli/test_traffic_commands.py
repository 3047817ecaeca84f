"""`rollback`, `promote`, `operations` and `history`, against a running installation."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hydra.v1 import deploy_pb2
from sqlalchemy import Table

from service.database import tables
from service.dev.world import World
from service.domain.deployment import PRODUCTION
from tests.command import Ended, hydra, hydra_running
from tests.installation import Installation
from tests.waiting import appears, until

TRAFFIC: tuple[Table, ...] = (
    tables.apps,
    tables.deployments,
    tables.frontline_routes,
    tables.hydra_operations,
    tables.hydra_traffic_switches,
)


async def run(installation: Installation, *arguments: str | Path) -> Ended:
    return await hydra(*arguments, "--config", installation.stack.config_file)


async def two_deployed(installation: Installation) -> tuple[World, str, str]:
    world = await installation.world()
    return world, await installation.deployed(world), await installation.deployed(world)


async def rests(installation: Installation, deployment_id: str) -> None:
    async def resting() -> bool:
        row = await installation.row(tables.deployments, id=deployment_id)
        return bool(row["desired_state"] == "standby")

    await until(resting)


async def traffic(installation: Installation, world: World) -> dict[str, list[dict[str, Any]]]:
    """Read all that moving an app's traffic may change."""
    columns = {table: "id" if table is tables.apps else "app_id" for table in TRAFFIC}
    return {table.name: await installation.rows(table, **{name: world.app.id}) for table, name in columns.items()}


async def led_to(installation: Installation, world: World, deployment_id: str) -> set[str]:
    rows = await installation.rows(tables.frontline_routes, app_id=world.app.id, deployment_id=deployment_id)
    return {row["fully_qualified_domain_name"] for row in rows}


async def test_a_rollback_is_planned_and_then_done_as_planned(installation: Installation) -> None:
    world, old, new = await two_deployed(installation)
    await rests(installation, old)
    before = await traffic(installation, world)
    told, planned = await asyncio.gather(
        run(installation, "rollback", "--to", old, "--dry-run"),
        run(installation, "rollback", "--to", old, "--dry-run", "--json"),
    )
    assert await traffic(installation, world) == before

    done = await run(installation, "rollback", "--from", new, "--to", old, "--json")

    assert [(end.code, end.err) for end in (told, planned, done)] == [(0, "")] * 3
    assert (planned.document["dry_run"], done.document["dry_run"]) == (True, False)
    assert done.document["operation"]["state"] == "succeeded"
    same = planned.document.keys() - {"dry_run", "operation"}
    assert {key: planned.document[key] for key in same} == {key: done.document[key] for key in same}
    assert (done.document["woken"], done.document["standby"], done.document["from_deployment_id"]) == (True, [], new)
    moved = {route["fqdn"] for route in done.document["routes"]}
    assert moved <= await led_to(installation, world, old)
    assert len(moved) == 2
    assert told.out.startswith(f"would roll back: {world.workspace_slug}/shop/default, production; nothing was changed")
    for fqdn in moved:
        assert fqdn in told.out
    assert await installation.live(world) == old


async def test_a_rollback_is_confirmed_and_the_other_one_goes_to_rest(installation: Installation) -> None:
    world, old, new = await two_deployed(installation)
    rolled_back = await run(installation, "rollback", "--to", old)
    planned = await run(installation, "promote", old, "--dry-run", "--json")
    assert (await installation.row(tables.apps, id=world.app.id))["is_rolled_back"]

    confirmed = await run(installation, "promote", old)

    assert (rolled_back.code, planned.code, confirmed.code) == (0, 0, 0)
    assert rolled_back.out.startswith(f"rolled back: {world.workspace_slug}/shop/default, production, in ")
    assert f"{new} → {old}" in rolled_back.out
    assert (planned.document["routes"], planned.document["standby"]) == ([], [new])
    assert confirmed.out.startswith("rollback confirmed: ")
    assert f"standby   {new} after " in confirmed.out
    await rests(installation, new)
    assert not (await installation.row(tables.apps, id=world.app.id))["is_rolled_back"]


async def test_a_promotion_is_planned_and_then_done_as_planned(installation: Installation) -> None:
    world, old, new = await two_deployed(installation)
    await run(installation, "rollback", "--to", old)
    newest = await installation.deployed(world)
    planned = await run(installation, "promote", newest, "--dry-run", "--json")
    assert await installation.live(world) == old

    done = await run(installation, "promote", newest, "--json")

    assert (planned.code, done.code) == (0, 0)
    assert (planned.document["routes"], planned.document["standby"]) == (done.document["routes"], [old, new])
    assert done.document["standby"] == [old, new]
    assert {route["to_deployment_id"] for route in done.document["routes"]} == {newest}
    assert await installation.live(world) == newest


async def test_a_refusal_is_one_line_with_the_reason_and_a_plan_is_refused_alike(installation: Installation) -> None:
    """Every reason: test_plan.py."""
    world, old, new = await two_deployed(installation)
    without_live = await installation.deployed(await installation.world(), "preview")
    before = await traffic(installation, world)
    ends = await asyncio.gather(
        run(installation, "rollback", "--from", old, "--to", new),
        run(installation, "rollback", "--from", old, "--to", new, "--dry-run", "--json"),
        run(installation, "rollback", "--from", new, "--to", new),
        run(installation, "rollback", "--to", new),
        run(installation, "rollback", "--to", without_live),
        run(installation, "promote", "d_nobody"),
    )
    not_live = f"hydra-deploy: the deployment '{old}' is not live, '{new}' is: roll back from the live one "
    assert [(end.code, end.out) for end in ends] == [(1, "")] * 6
    assert [end.err for end in ends] == [
        f"{not_live}[SOURCE_NOT_LIVE]\n",
        f"{not_live}[SOURCE_NOT_LIVE]\n",
        "hydra-deploy: source and target are the same deployment: name the one to go back to [INVALID_ARGUMENT]\n",
        f"hydra-deploy: the deployment '{new}' is live already [ALREADY_LIVE]\n",
        "hydra-deploy: nothing is live in the app 'default': there is nothing to roll back from [NOTHING_LIVE]\n",
        "hydra-deploy: the deployment 'd_nobody' does not exist [DEPLOYMENT_NOT_FOUND]\n",
    ]
    after = await traffic(installation, world)
    for table in (tables.apps, tables.frontline_routes, tables.hydra_traffic_switches):
        assert after[table.name] == before[table.name]


async def test_a_server_that_is_not_there_is_said_and_a_plan_needs_none(installation: Installation) -> None:
    _, old, _ = await two_deployed(installation)
    ended = await run(installation, "rollback", "--to", old, "--grpc", "127.0.0.1:1")
    planned = await run(installation, "rollback", "--to", old, "--grpc", "127.0.0.1:1", "--dry-run")
    assert (ended.code, planned.code) == (1, 0)
    assert ended.err.endswith("is `hydra-deploy serve` running? [GRPC_UNREACHABLE]\n")


async def test_who_stops_watching_a_rollback_stops_nothing(installation: Installation) -> None:
    world, old, _ = await two_deployed(installation)
    config = ("--config", installation.stack.config_file)
    async with (
        installation.held("switch traffic.before") as reached,
        hydra_running("rollback", "--to", old, *config) as running,
    ):
        await appears(reached)
        running.interrupt()
        ended = await running.ended()
    assert (ended.code, ended.err) == (130, "")
    assert "the rollback goes on; look at it with" in ended.out
    assert f"operations --app {world.app.id} --config" in ended.out

    async def live() -> bool:
        return await installation.live(world) == old

    await until(live)


async def test_a_server_that_crashes_meanwhile_is_called_again_and_nothing_is_done_twice(
    installation: Installation,
) -> None:
    world, old, _ = await two_deployed(installation)
    config = ("--config", installation.stack.config_file)
    async with hydra_running("rollback", "--to", old, *config) as running:
        async with installation.held("switch traffic.before") as reached:
            await appears(reached)
            await installation.stack.worker.kill()
        await installation.stack.start_worker()
        ended = await running.ended()
    assert (ended.code, ended.err) == (0, "")
    operations = await installation.rows(tables.hydra_operations, app_id=world.app.id, kind="rollback")
    assert [operation["state"] for operation in operations] == ["succeeded"]


async def test_operations_are_listed_newest_first(installation: Installation) -> None:
    world, old, new = await two_deployed(installation)
    await run(installation, "rollback", "--to", old)
    await run(installation, "promote", new, "--grpc", installation.stack.grpc_address)
    request = deploy_pb2.PromoteRequest(target_deployment_id=new)
    with pytest.raises(Exception, match="live already"):
        await installation.stub.Promote(request, metadata=[("x-hydra-caller", "somebody")])

    app = ("--app", world.app.id)
    table, answer, one, named = await asyncio.gather(
        run(installation, "operations", *app),
        run(installation, "operations", *app, "--json"),
        run(installation, "operations", "--json", "--limit", "1"),
        run(installation, "operations", "--app", "default", "--workspace", world.workspace_slug, "--json"),
    )

    listed = [entry for entry in answer.document if entry["kind"] != "desired_state"]
    assert [(entry["kind"], entry["state"], entry["caller"], entry["from_deployment_id"]) for entry in listed] == [
        ("promote", "failed", "somebody", None),
        ("promote", "succeeded", "hydra-deploy", old),
        ("rollback", "succeeded", "hydra-deploy", new),
        ("deploy", "succeeded", "", old),
        ("deploy", "succeeded", "", None),
    ]
    assert (listed[0]["reason"], listed[0]["app"], listed[0]["environment"]) == ("ALREADY_LIVE", "default", PRODUCTION)
    assert listed[1]["duration_ms"] == listed[1]["ended_at_ms"] - listed[1]["started_at_ms"]
    assert {entry["id"] for entry in named.document} >= {entry["id"] for entry in listed}
    assert len(one.document) == 1
    for text in ("ALREADY_LIVE", f"{new} → {old}", listed[1]["id"], "by somebody"):
        assert text in table.out


async def test_the_history_tells_what_was_live_and_why(installation: Installation) -> None:
    world, old, new = await two_deployed(installation)
    await run(installation, "rollback", "--to", old)
    unrouted = await installation.deployed(world)
    await installation.deployed(world, "preview")
    await run(installation, "promote", old)

    slug = ("default", "--workspace", world.workspace_slug)
    table, answer = await asyncio.gather(
        run(installation, "history", *slug), run(installation, "history", world.app.id, "--json")
    )

    turns = [
        (turn["kind"], turn["deployment_id"], turn["from_deployment_id"], turn["live_deployment_id"])
        for turn in answer.document
    ]
    assert turns == [
        ("promote", old, old, old),
        ("deploy", unrouted, old, old),
        ("rollback", old, new, old),
        ("deploy", new, old, new),
        ("deploy", old, None, old),
    ]
    assert [turn["is_rolled_back"] for turn in answer.document] == [False, True, True, False, False]
    assert [turn["caller"] for turn in answer.document] == ["hydra-deploy", "", "hydra-deploy", "", ""]
    times = [turn["switched_at_ms"] for turn in answer.document]
    assert times == sorted(times, reverse=True)
    for text in ("confirms the rollback", f"{unrouted} stays unrouted: rolled back", f"{new} → {old}", "nothing → "):
        assert text in table.out


async def test_an_app_without_a_history_has_none_and_an_unknown_one_is_said(installation: Installation) -> None:
    world = await installation.world()
    nothing, none, unknown, unknown_too = await asyncio.gather(
        run(installation, "history", world.app.id),
        run(installation, "operations", "--app", world.app.id),
        run(installation, "history", "nobody"),
        run(installation, "operations", "--app", "nobody"),
    )
    assert (nothing.code, nothing.out) == (0, f"nothing was ever live in {world.workspace_slug}/shop/default\n")
    assert (none.code, none.out) == (0, "no operations yet\n")
    for end in (unknown, unknown_too):
        assert (end.code, end.out) == (1, "")
        assert end.err == "hydra-deploy: there is no app 'nobody' [APP_NOT_FOUND]\n"
