"""The rows of a run's world in all tables, without what differs from run to run: times and what is drawn."""

import re
from typing import Any

from sqlalchemy import BigInteger, Table, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database import tables
from service.domain.identifiers import Prefix
from tests.chaos.crashes.runs import Invocation, Run, shown
from tests.chaos.crashes.site import CrashSite

# By these a row is known to be a world's.
_OWNERS = ("workspace_id", "project_id", "app_id", "environment_id", "deployment_id", "region_id", "id", "operation_id")
_SEEN_BEFORE = re.compile(r'"seen_before": \d+')  # the pk of an instance: of the run, and of how quick its agents were
_TIMES = re.compile(r"_at(_m)?$|_until$")
# Drawn when a row is written, or by GitHub and its like. How often a build was executed is what a crash changes.
_DRAWN = frozenset(
    {"pk", "org_id", "k8s_address", "address", "route_id", "build_id", "installation_id", "github_deployment_id"}
    | {"repository_id", "executions"}
)
_ID = re.compile(
    rf"inv_\w+|sha256:[0-9a-f]{{64}}|\b[0-9a-f]{{32}}\b|\b(?:{'|'.join(Prefix)})_[A-Za-z0-9]{{8,}}\b|127\.0\.0\.1:\d+"
)
_ENDING = re.compile(r"(git-[0-9a-f]{7}|<k8s name of [A-Z]>)-[a-z0-9]{4,5}\b")  # of host names and instances
_NAME = re.compile(r'"(k8s_name|k8s_namespace)": "[a-z0-9]+"')


async def final_rows(site: CrashSite, run: Run, found: list[Invocation]) -> dict[str, list[str]]:
    """Read the rows of the run's world, and of its operations, by table; masked, and in an order of their own."""
    everything = [*tables.reference.tables.values(), *tables.ours.tables.values()]

    workspace = await site.installation.row(tables.workspaces, id=run.world.workspace_id)
    run.names.add(workspace["k8s_namespace"] or "no namespace", "namespace")

    async def work(conn: AsyncConnection) -> dict[str, list[str]]:
        ids = [*_ids(run), *(one.id for one in found)]
        return {
            table.name: sorted(_masked(run, table, row) for row in await _of(conn, table, ids)) for table in everything
        }

    return await site.installation.database.read(work)


def _ids(run: Run) -> list[str]:
    world = run.world
    environments = world.app.environments.values()
    regions = [region.id for region in run.regions]
    return [world.workspace_id, world.project_id, world.app.id, *environments, *regions, *run.deployments]


async def _of(conn: AsyncConnection, table: Table, ids: list[str]) -> list[dict[str, Any]]:
    owners = [table.c[name] for name in _OWNERS if name in table.c]
    if table is tables.hydra_schema:
        return []
    rows = await conn.execute(select(table).where(or_(*(column.in_(ids) for column in owners))))
    return [dict(row) for row in rows.mappings()]


def _masked(run: Run, table: Table, row: dict[str, Any]) -> str:
    kept: dict[str, Any] = {}
    for name, value in row.items():
        is_time = _TIMES.search(name) and isinstance(table.c[name].type, BigInteger)
        kept[name] = value is not None if is_time or name in _DRAWN else value
    text = _NAME.sub(r'"\1": "<drawn>"', run.names.mask(shown(kept)))
    text = _SEEN_BEFORE.sub('"seen_before": "<pk>"', text)
    return _ENDING.sub(r"\1-<drawn>", _ID.sub("<drawn>", text))


async def version_faults(site: CrashSite, run: Run) -> list[str]:
    """Say which version of a region was given twice, or is above the counter."""
    faults = []
    for region in run.regions:
        versions = [
            row["version"]
            for table in (tables.deployment_topology, tables.sentinels, tables.cilium_network_policies)
            for row in await site.installation.rows(table, region_id=region.id)
        ]
        (counter,) = await site.installation.rows(tables.hydra_region_versions, region_id=region.id) or [{"version": 0}]
        if len(set(versions)) < len(versions):
            faults.append(f"versions given twice in {region.name}: {sorted(versions)}")
        if max(versions, default=0) > counter["version"]:
            faults.append(f"a version above the counter of {region.name}: {sorted(versions)} > {counter['version']}")
    return faults
