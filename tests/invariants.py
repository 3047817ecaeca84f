"""What holds of an app at all times: what is live runs, there is a way back, and nothing is left half done."""

import asyncio
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Select, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database import tables
from service.dev.world import App, World
from service.domain.deployment import PREVIEW
from tests.installation import Installation

# What was told to happen, such as a stop that is due, may be on its way for so long.
_PATIENCE_S = 10.0
_LOOK_S = 0.1

_UNDER_WAY = ("starting", "building", "deploying", "network", "finalizing")

Row = dict[str, Any]


async def holds(
    installation: Installation, world: World, *, instances: bool = False, dead: Collection[str] = ()
) -> None:
    """Check every app of a world. Raises AssertionError with a list of what is broken, and stays so.

    With `instances`, what is live has to show one that runs, too. Operations that are `dead` may be open: a test has
    killed them.
    """
    deadline = asyncio.get_running_loop().time() + _PATIENCE_S
    while found := [
        each for app in world.apps.values() for each in await broken(installation, app, instances=instances, dead=dead)
    ]:
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError("\n".join(["the world is out of order:", *(f"- {each}" for each in found)]))
        await asyncio.sleep(_LOOK_S)


async def broken(
    installation: Installation, app: App, *, instances: bool = False, dead: Collection[str] = ()
) -> list[str]:
    """List what is not in order with an app at this moment; nothing is promised of one that is gone."""
    seen = await installation.database.read(partial(_look, app_id=app.id))
    if seen is None:
        return []
    return [
        *_live(seen, instances=instances),
        *_routes(seen),
        *await _operations(installation, seen, dead),
        *_ways_back(seen),
        *_stopped(seen),
    ]


@dataclass(frozen=True)
class _Seen:
    """The rows of one app, of one look; deployments by id, and everything else in the order of its key."""

    app: Row
    deployments: dict[str, Row]
    topologies: list[Row]
    schedulable: set[str]
    instances: list[Row]
    routes: list[Row]
    environments: dict[str, str]
    switches: list[Row]
    operations: list[Row]
    attempts: dict[str, Row]

    def trouble(self, deployment_id: str) -> list[str]:
        """Say why a deployment that is to serve does not."""
        row = self.deployments.get(deployment_id)
        if row is None:
            return ["does not exist"]
        found = []
        if row["status"] != "ready":
            found.append(f"is {row['status']}")
        if row["desired_state"] != "running":
            found.append(f"is to be {row['desired_state']}")
        if not self.runs_in(deployment_id) & (self.schedulable | self.shows_in(deployment_id)):
            found.append("is to run in no region that can schedule or has it")
        return found

    def shows_in(self, deployment_id: str) -> set[str]:
        """Return where it runs: in regions, too, that take nothing more."""
        return {
            row["region_id"]
            for row in self.instances
            if (row["deployment_id"], row["status"]) == (deployment_id, "running")
        }

    def runs_in(self, deployment_id: str) -> set[str]:
        return {
            row["region_id"]
            for row in self.topologies
            if (row["deployment_id"], row["desired_status"]) == (deployment_id, "running")
        }

    def made(self) -> list[Row]:
        """Return the switches that came to pass and stand, the newest first."""
        standing = [row for row in self.switches if row["switched_at"] is not None and row["reverted_at"] is None]
        return sorted(standing, key=lambda row: int(row["switched_at"]), reverse=True)

    def works_on(self, deployment_id: str) -> bool:
        """Whether an operation works on a deployment."""
        return any(
            row["state"] == "running" and deployment_id in (row["deployment_id"], row["to_deployment_id"])
            for row in self.operations
        )


async def _look(conn: AsyncConnection, app_id: str) -> _Seen | None:
    async def rows(table: Table, *conditions: Any) -> list[Row]:
        query: Select[Any] = select(table).where(*conditions).order_by(*table.primary_key.columns)
        return [dict(row) for row in (await conn.execute(query)).mappings()]

    if not (apps := await rows(tables.apps, tables.apps.c.id == app_id)):
        return None
    deployments = {row["id"]: row for row in await rows(tables.deployments, tables.deployments.c.app_id == app_id)}
    of_them = sorted(deployments)
    topology, instances, attempts = tables.deployment_topology, tables.instances, tables.hydra_deployment_attempts
    return _Seen(
        app=apps[0],
        deployments=deployments,
        topologies=await rows(topology, topology.c.deployment_id.in_(of_them)),
        schedulable={row["id"] for row in await rows(tables.regions) if row["can_schedule"]},
        instances=await rows(instances, instances.c.deployment_id.in_(of_them)),
        routes=await rows(tables.frontline_routes, tables.frontline_routes.c.app_id == app_id),
        environments={
            row["id"]: row["slug"] for row in await rows(tables.environments, tables.environments.c.app_id == app_id)
        },
        switches=await rows(tables.hydra_traffic_switches, tables.hydra_traffic_switches.c.app_id == app_id),
        operations=await rows(tables.hydra_operations, tables.hydra_operations.c.app_id == app_id),
        attempts={row["deployment_id"]: row for row in await rows(attempts, attempts.c.deployment_id.in_(of_them))},
    )


def _live(seen: _Seen, *, instances: bool) -> Iterable[str]:
    """Tell of what is live and does not run."""
    live = seen.app["current_deployment_id"]
    if live is None:
        return
    for trouble in seen.trouble(live):
        yield f"{live} is live, but {trouble}"
    runs = [row for row in seen.instances if (row["deployment_id"], row["status"]) == (live, "running")]
    if instances and not runs:
        yield f"{live} is live, but no instance of it runs"


def _routes(seen: _Seen) -> Iterable[str]:
    """Tell of names that follow what is live, and lead to what does not run.

    A name that was reserved for a deployment leads to it before its switch, and for good where it never got there.
    Previews may rest.
    """
    switched = {row["deployment_id"] for row in seen.made()}
    for route in seen.routes:
        is_followed = route["sticky"] == "live" or (
            route["sticky"] == "environment" and seen.environments.get(route["environment_id"]) != PREVIEW
        )
        owner = route["deployment_id"]
        if is_followed and owner in switched:
            for trouble in seen.trouble(owner):
                yield f"{route['fully_qualified_domain_name']} leads to {owner}, which {trouble}"


async def _operations(installation: Installation, seen: _Seen, dead: Collection[str]) -> list[str]:
    """Tell of operations, attempts and deployments that are open, and that Restate does not work on."""
    attempts = {id_: row for id_, row in seen.attempts.items() if row["state"] == "running"}
    operations = [row for row in seen.operations if row["state"] == "running"]
    known = {*dead} | await _unfinished(
        installation, [row["id"] for row in operations] + [row["operation_id"] for row in attempts.values()]
    )
    return [
        *(
            f"the {row['kind']} {row['id']} of {row['deployment_id']} is open, but Restate does not work on it"
            for row in operations
            if row["id"] not in known
        ),
        *(
            f"an attempt at {id_} is open, but Restate does not work on its operation {row['operation_id']}"
            for id_, row in attempts.items()
            if row["operation_id"] not in known
        ),
        *(
            f"{id_} is {row['status']}, but no attempt at it is open"
            for id_, row in seen.deployments.items()
            if row["status"] in _UNDER_WAY and id_ not in attempts
        ),
    ]


async def _unfinished(installation: Installation, invocation_ids: list[str]) -> set[str]:
    """Of these invocations, return those that Restate works on, or will."""
    if not invocation_ids:
        return set()
    listed = ", ".join(f"'{each}'" for each in invocation_ids)
    rows = await installation.admin_query(
        f"select id from sys_invocation where id in ({listed}) and status <> 'completed'"
    )
    return {row["id"] for row in rows}


def _ways_back(seen: _Seen) -> Iterable[str]:
    """Tell of what an open rollback came from and does not run: a promote of it may be asked for at any time."""
    if not seen.app["is_rolled_back"]:
        return
    for row in seen.made():
        if not row["is_rolled_back"]:
            return
        source = row["previous_deployment_id"]
        if row["kind"] == "rollback" and source in seen.deployments:
            for trouble in seen.trouble(source):
                yield f"the rollback from {source} is open, but it {trouble}"


def _stopped(seen: _Seen) -> Iterable[str]:
    """Tell of what failed, or is to rest, and is set to run. What is live is judged elsewhere."""
    for id_, row in seen.deployments.items():
        rests = row["status"] == "failed" or row["desired_state"] != "running"
        if id_ == seen.app["current_deployment_id"] or not rests or seen.works_on(id_):
            continue
        if regions := seen.runs_in(id_):
            state = f"{row['status']} and is to be {row['desired_state']}"
            yield f"{id_} is {state}, but is set to run in {', '.join(sorted(regions))}"
