"""The host names of deployments: whose they are, and where they lead (02 · 1.6, 06 · D1 to D5)."""

import asyncio
import re
import uuid
from typing import Any

import pytest

from service.database import tables
from service.dev.world import World
from tests.installation import Installation, deploy_request
from tests.waiting import until

APEX = "hydra.localhost"
SHA = "3f9c2d1e8b7a6f5c4d3e2f1a0b9c8d7e6f5a4b3c"
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", re.IGNORECASE)


async def names(installation: Installation, world: World, sticky: str, app: str = "") -> dict[str, str]:
    """Read an app's routes of one kind: host name → deployment id."""
    chosen = world.apps[app] if app else world.app
    rows = await installation.rows(tables.frontline_routes, app_id=chosen.id, sticky=sticky)
    return {row["fully_qualified_domain_name"]: row["deployment_id"] for row in rows}


async def name_of(installation: Installation, deployment_id: str, sticky: str) -> str:
    """Read the only name of one kind that leads to a deployment."""
    row = await installation.row(tables.frontline_routes, deployment_id=deployment_id, sticky=sticky)
    return str(row["fully_qualified_domain_name"])


# --------------------------------------------------------------------------------------------- D1: equal host names


async def test_a_workspace_cannot_take_the_name_of_another(installation: Installation) -> None:
    """`a-b` of `c` and `a` of `b-c` are both `a-b-c`."""
    c = f"c{uuid.uuid4().hex[:6]}"
    first = await installation.world(workspace=c, project="a-b")
    second = await installation.world(workspace=f"b-{c}", project="a")
    theirs = await installation.deployed(first)
    before = await installation.rows(tables.frontline_routes, app_id=first.app.id)
    contested = f"a-b-{c}.{APEX}"
    assert await names(installation, first, "live") == {contested: theirs}

    ours = await installation.deployed(second)
    own = await name_of(installation, ours, "live")
    assert re.fullmatch(rf"a-b-{c}-[0-9a-f]{{8}}\.{re.escape(APEX)}", own)
    assert await installation.live(second) == ours

    newer = await installation.deployed(second)
    assert await names(installation, second, "live") == {own: newer}
    assert await installation.rows(tables.frontline_routes, app_id=first.app.id) == before
    theirs_newer = await installation.deployed(first)
    assert await names(installation, first, "live") == {contested: theirs_newer}
    assert await names(installation, second, "live") == {own: newer}


async def test_two_apps_of_one_workspace_do_not_share_names(installation: Installation) -> None:
    """App `b` of project `a` and the default app of project `a-b` have every name but the deployment's in common."""
    workspace = f"w{uuid.uuid4().hex[:6]}"
    first = await installation.world(workspace=workspace, project="a-b")
    second = await installation.world(workspace=workspace, project="a", apps=("b",))
    spec = {"git_branch": "main"}
    theirs = await installation.deployed(first, **spec)
    ours = await installation.deployed(second, **spec)

    for sticky in ("branch", "environment", "live"):
        (their_name,) = await names(installation, first, sticky)
        (our_name,) = await names(installation, second, sticky)
        assert our_name.partition(".")[0][:-9] == their_name.partition(".")[0]
    rows = await installation.rows(tables.frontline_routes, app_id=first.app.id)
    assert {row["deployment_id"] for row in rows} == {theirs}
    rows = await installation.rows(tables.frontline_routes, app_id=second.app.id)
    assert {row["deployment_id"] for row in rows} == {ours}


async def test_two_that_want_one_name_at_once_both_get_one(installation: Installation) -> None:
    c = f"c{uuid.uuid4().hex[:6]}"
    worlds = [
        await installation.world(workspace=c, project="a-b"),
        await installation.world(workspace=f"b-{c}", project="a"),
    ]
    both = [await installation.deployment(world) for world in worlds]
    async with installation.held("reserve names.before"):
        calls = [asyncio.ensure_future(installation.deploy(deployment_id)) for deployment_id in both]

        async def both_healthy() -> bool:
            return all([await healthy(installation, deployment_id) for deployment_id in both])

        await until(both_healthy)
    await asyncio.gather(*calls)

    held = [await name_of(installation, deployment_id, "live") for deployment_id in both]
    assert len(set(held)) == 2
    assert f"a-b-{c}.{APEX}" in held


async def healthy(installation: Installation, deployment_id: str) -> bool:
    rows = await installation.rows(tables.instances, deployment_id=deployment_id)
    return [row["status"] for row in rows] == ["running"] * 3


# -------------------------------------------------------------------------------------------- D2: branches of all kinds

LONG = "feature/" + "x" * 192
BRANCHES = ["a/b", "a-b", "a--b", "A/B", "релиз/весна", "релиз/осень", "日本語", "---", LONG, LONG[:-1] + "y", SHA[:7]]


async def test_branches_of_all_kinds_get_names_of_their_own(installation: Installation) -> None:
    world = await installation.world(quota_cpu_millicores=10**6, quota_memory_mib=10**6)
    given = {}
    for branch in BRANCHES:
        deployment_id = await installation.deployed(world, "preview", git_branch=branch)
        given[branch] = await name_of(installation, deployment_id, "branch")

    assert len({name.lower() for name in given.values()}) == len(BRANCHES)
    for name in given.values():
        label, _, apex = name.partition(".")
        assert apex == APEX
        assert len(label) <= 63
        assert LABEL.fullmatch(label)
        assert "--" not in label
    assert given["a/b"] == f"shop-git-a-b-{world.workspace_slug}.{APEX}"

    for branch in reversed(BRANCHES):  # D4: each name follows its own branch, and no branch gets a second name
        newer = await installation.deployed(world, "preview", git_branch=branch)
        assert await name_of(installation, newer, "branch") == given[branch]
    assert set(await names(installation, world, "branch")) == set(given.values())


async def test_every_label_fits_whatever_the_slugs(installation: Installation) -> None:
    long = uuid.uuid4().hex
    world = await installation.world(
        workspace=f"w{long}", project="p" * 60, apps=("a" * 60,), environments=("production", "e" * 60)
    )
    await installation.deployed(world, git_branch=LONG, git_commit_sha=SHA)
    old = await installation.deployed(world, "e" * 60, git_branch="main")
    rows = await installation.rows(tables.frontline_routes, app_id=world.app.id)
    labels = [row["fully_qualified_domain_name"].lower().partition(".")[0] for row in rows]
    assert len(set(labels)) == 5 + 3
    assert all(len(label) <= 63 for label in labels)

    kept = {sticky: await name_of(installation, old, sticky) for sticky in ("environment", "branch")}
    new = await installation.deployed(world, "e" * 60, git_branch="main")
    assert {sticky: await name_of(installation, new, sticky) for sticky in kept} == kept


async def test_a_fork_of_the_same_branch_has_names_of_its_own(installation: Installation) -> None:
    world = await installation.world()
    ours = await installation.deployed(world, "preview", git_branch="main")
    theirs = await installation.deployed(
        world, "preview", git_branch="main", fork_repository_full_name="stranger/shop", pr_number=7
    )
    assert await name_of(installation, ours, "branch") == f"shop-git-main-{world.workspace_slug}.{APEX}"
    assert await name_of(installation, theirs, "branch") == f"shop-fork-stranger-git-main-{world.workspace_slug}.{APEX}"


# --------------------------------------------------------------------------------------------- D3: commits


async def test_every_image_of_a_commit_has_a_name_of_its_own(installation: Installation) -> None:
    """An image says nothing of how it was built: the name carries a number, and never moves."""
    world = await installation.world()
    spelled = re.compile(rf"shop-git-{SHA[:7]}-[1-9][0-9]{{3}}-{world.workspace_slug}\.{re.escape(APEX)}")
    owners: dict[str, str] = {}
    for _ in range(3):
        deployment_id = await installation.deployed(world, git_commit_sha=SHA, git_branch="main")
        name = await name_of(installation, deployment_id, "none")
        assert spelled.fullmatch(name)
        assert await names(installation, world, "none") == owners | {name: deployment_id}
        owners[name] = deployment_id


async def test_a_commit_in_capitals_is_the_same_commit(installation: Installation) -> None:
    world = await installation.world()
    deployment_id = await installation.deployed(world, git_commit_sha=SHA.upper())
    assert (await name_of(installation, deployment_id, "none")).startswith(f"shop-git-{SHA[:7]}-")


# --------------------------------------------------------------------------------------------- D4: branches follow


@pytest.mark.parametrize("environment", ["production", "preview"])
async def test_the_branch_follows_the_newer_deployment(installation: Installation, environment: str) -> None:
    world = await installation.world()
    old = await installation.deployed(world, environment, git_branch="main")
    other = await installation.deployed(world, environment, git_branch="other")
    new = await installation.deployed(world, environment, git_branch="main")

    slug = world.workspace_slug
    assert await names(installation, world, "branch") == {
        f"shop-git-main-{slug}.{APEX}": new,
        f"shop-git-other-{slug}.{APEX}": other,
    }
    assert await name_of(installation, old, "deployment")


async def test_the_branch_does_not_follow_an_older_deployment(installation: Installation) -> None:
    world = await installation.world()
    older = await installation.deployment(world, "preview", git_branch="main", created_at_ms=1_700_000_000_000)
    newer = await installation.deployed(world, "preview", git_branch="main")
    await installation.deploy(older)

    assert set((await names(installation, world, "branch")).values()) == {newer}
    assert set((await names(installation, world, "environment")).values()) == {newer}
    assert await installation.status(older) == "ready"


@pytest.mark.parametrize("state", ["deleted", "failed"])
async def test_names_that_lead_nowhere_are_taken_up_again(installation: Installation, state: str) -> None:
    """A name whose deployment is gone, or failed after it had the name, belongs to the app's next deployment."""
    world = await installation.world()
    old = await installation.deployed(world, "preview", git_branch="main")
    if state == "failed":
        await installation.set(tables.deployments, {"id": old}, status="failed")
    else:
        await installation.database.transact(
            lambda conn: conn.execute(tables.deployments.delete().where(tables.deployments.c.id == old))
        )
    new = await installation.deployed(world, "preview", git_branch="main")
    for sticky in ("branch", "environment"):
        assert set((await names(installation, world, sticky)).values()) == {new}


# --------------------------------------------------------------------------------------------- D5: a replay


async def rows_of(installation: Installation, world: World) -> list[dict[str, Any]]:
    rows = await installation.rows(tables.frontline_routes, app_id=world.app.id)
    return [{name: row[name] for name in ("id", "fully_qualified_domain_name", "sticky")} for row in rows]


@pytest.mark.parametrize("point", ["reserve names.before", "reserve names.after", "switch traffic.after"])
async def test_a_replay_reserves_the_same_names(installation: Installation, point: str) -> None:
    """The number of the commit's name and the ids of the routes come from the journal."""
    c = f"c{uuid.uuid4().hex[:6]}"
    await installation.deployed(await installation.world(workspace=c, project="a-b"))
    world = await installation.world(workspace=f"b-{c}", project="a")  # so that a disputed name is among them
    spec = {"git_commit_sha": SHA, "git_branch": "main"}
    old = await installation.deployed(world, **spec)
    new = await installation.deployment(world, **spec)
    installation.kill_at(point)
    worker = installation.stack.worker
    body = {"deploymentId": new, "dockerImage": {"image": deploy_request(new).docker_image.image}}
    call = asyncio.ensure_future(installation.ingress(f"/hydra.v1.DeployService/{new}/Deploy", body))

    async def died() -> bool:
        return worker.exit_code is not None

    await until(died)
    left = await rows_of(installation, world)
    await installation.stack.start_worker()
    assert (await call).status == 200

    rows = await rows_of(installation, world)
    assert rows == left or (point == "reserve names.before" and len(left) == 5)
    assert len(rows) == 7  # old: commit, branch, environment, live, deployment; new: commit, deployment
    for sticky, owners in (("branch", {new}), ("environment", {new}), ("live", {new}), ("none", {old, new})):
        assert set((await names(installation, world, sticky)).values()) == owners
    steps = await installation.steps(new)
    assert list(steps) == ["starting", "building", "deploying", "network", "finalizing"]
    assert all(step["ended_at"] is not None and step["error"] is None for step in steps.values())
