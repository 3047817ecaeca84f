"""What the control plane does for a regional agent: desired state out, actual state in (03 · 7).

The real agents speak to `ctrl.v1.ClusterService`; the simulated one runs that service's queries itself.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, Table, bindparam, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database.tables import (
    cilium_network_policies,
    clusters,
    deployment_topology,
    deployments,
    instances,
    regions,
    sentinels,
    workspaces,
)
from service.database.upsert import insert_ignore, upsert
from service.dev.workload import Placed, Pod
from service.domain.deployment import DesiredState, TopologyStatus
from service.domain.health import InstanceStatus

ROWS_PER_POLL = 100
_REGION, _CURSOR = "region", "cursor"


def _stream(query: Select[Any], table: Table) -> Select[Any]:
    news = query.where(table.c.region_id == bindparam(_REGION), table.c.version > bindparam(_CURSOR))
    return news.order_by(table.c.version).limit(ROWS_PER_POLL)


# What is asked many times a second is written once: writing it anew costs more than its answer.
_PLACED: Select[Any] = (
    select(
        deployment_topology.c.version,
        deployment_topology.c.desired_status,
        deployment_topology.c.desired_replicas,
        deployments.c.id.label("deployment_id"),
        deployments.c.k8s_name,
        workspaces.c.k8s_namespace,
        deployments.c.workspace_id,
        deployments.c.project_id,
        deployments.c.app_id,
        deployments.c.cpu_millicores,
        deployments.c.memory_mib,
        deployments.c.port,
        deployments.c.image,
    )
    .join(deployments, deployments.c.id == deployment_topology.c.deployment_id)
    .join(workspaces, workspaces.c.id == deployments.c.workspace_id)
)
_ORDERS = _stream(_PLACED, deployment_topology)
_SENTINEL_ORDERS = _stream(
    select(sentinels.c.version, sentinels.c.k8s_name, sentinels.c.desired_state, sentinels.c.desired_replicas),
    sentinels,
)
_POLICIES = _stream(
    select(cilium_network_policies.c.version, cilium_network_policies.c.k8s_name, cilium_network_policies.c.policy),
    cilium_network_policies,
)


@dataclass(frozen=True)
class Region:
    """A region as its agent knows itself."""

    id: str
    name: str
    platform: str


@dataclass(frozen=True)
class Order:
    """One item of the stream of deployments: run this, or stop it."""

    version: int
    placed: Placed
    run: bool


@dataclass(frozen=True)
class SentinelOrder:
    """One item of the stream of sentinels: run this, or remove it."""

    version: int
    k8s_name: str
    replicas: int
    run: bool


@dataclass(frozen=True)
class SentinelReport:
    """How many replicas of a sentinel should run, and do."""

    k8s_name: str
    desired: int
    available: int


@dataclass(frozen=True)
class InstanceReport:
    """One pod of a deployment; the id is for the row, should the pod be new."""

    instance_id: str
    placed: Placed
    pod: Pod
    status: InstanceStatus


async def heartbeat(conn: AsyncConnection, region: Region, cluster_id: str, now_ms: int) -> None:
    """Make the region known, and its cluster alive."""
    await insert_ignore(conn, regions, {"id": region.id, "name": region.name, "platform": region.platform})
    cluster = {"id": cluster_id, "region_id": region.id, "last_heartbeat_at": now_ms}
    await upsert(conn, clusters, cluster, key=("region_id",), update=("last_heartbeat_at",))


async def watch_deployments(conn: AsyncConnection, region_id: str, cursor: int) -> list[Order]:
    """Read the next orders of a region after a version, in order of version."""
    rows = await conn.execute(_ORDERS, {_REGION: region_id, _CURSOR: cursor})
    running = TopologyStatus.RUNNING.value
    return [Order(row.version, _read_placed(row), row.desired_status == running) for row in rows]


async def desired_deployments(
    conn: AsyncConnection, region_id: str, deployment_ids: Collection[str]
) -> dict[str, Placed]:
    """Say which of the deployments are to run; that is for `deployments.desired_state` to decide here."""
    rows = await conn.execute(
        _PLACED.where(
            deployment_topology.c.region_id == region_id,
            deployments.c.id.in_(sorted(deployment_ids)),
            deployments.c.desired_state == DesiredState.RUNNING.value,
        )
    )
    return {row.deployment_id: _read_placed(row) for row in rows}


async def watch_sentinels(conn: AsyncConnection, region_id: str, cursor: int) -> list[SentinelOrder]:
    """Read the next sentinels of a region after a version, in order of version."""
    rows = await conn.execute(_SENTINEL_ORDERS, {_REGION: region_id, _CURSOR: cursor})
    running = DesiredState.RUNNING.value
    return [
        SentinelOrder(row.version, row.k8s_name, row.desired_replicas, row.desired_state == running) for row in rows
    ]


async def watch_policies(conn: AsyncConnection, region_id: str, cursor: int) -> list[tuple[int, str, Any]]:
    """Read version, name and document of a region's next network policies, in order of version."""
    rows = await conn.execute(_POLICIES, {_REGION: region_id, _CURSOR: cursor})
    return [(row.version, row.k8s_name, row.policy) for row in rows]


async def known_instances(conn: AsyncConnection, region_id: str) -> dict[str, list[tuple[str, str]]]:
    """Read what was last reported of a region: deployment id → names and addresses of its pods, oldest first."""
    table = instances
    query = select(table.c.deployment_id, table.c.k8s_name, table.c.address).where(table.c.region_id == region_id)
    found: dict[str, list[tuple[str, str]]] = {}
    for row in await conn.execute(query.order_by(table.c.pk)):
        found.setdefault(row.deployment_id, []).append((row.k8s_name, row.address))
    return found


async def report_deployments(
    conn: AsyncConnection, region_id: str, about: Collection[str], reports: Iterable[InstanceReport]
) -> None:
    """Replace what is known of the deployments in `about` in a region; one without a pod in `reports` has none left.

    A pod that is known already keeps the id of its row. A deployment that does not exist is passed over.
    """
    exist = set(await conn.scalars(select(deployments.c.id).where(deployments.c.id.in_(sorted(about)))))
    rows = [_instance(region_id, report) for report in reports if report.placed.deployment_id in exist]
    await conn.execute(
        delete(instances).where(
            instances.c.region_id == region_id,
            instances.c.deployment_id.in_(sorted(about)),
            instances.c.k8s_name.not_in([row["k8s_name"] for row in rows]),
        )
    )
    if rows:
        changing = ("address", "cpu_millicores", "memory_mib", "status")
        await upsert(conn, instances, rows, key=("k8s_name", "region_id"), update=changing)


async def report_sentinels(conn: AsyncConnection, reports: Iterable[SentinelReport], now_ms: int) -> None:
    """Store how many replicas of each sentinel are available, and what that says of its health."""
    for report in reports:
        health = "paused" if report.desired == 0 else "healthy" if report.available else "unhealthy"
        await conn.execute(
            update(sentinels)
            .where(sentinels.c.k8s_name == report.k8s_name)
            .values(available_replicas=report.available, health=health, updated_at=now_ms)
        )


def _read_placed(row: Row[Any]) -> Placed:
    return Placed(
        deployment_id=row.deployment_id,
        k8s_name=row.k8s_name,
        k8s_namespace=row.k8s_namespace or "default",
        workspace_id=row.workspace_id,
        project_id=row.project_id,
        app_id=row.app_id,
        replicas=row.desired_replicas,
        cpu_millicores=row.cpu_millicores,
        memory_mib=row.memory_mib,
        port=row.port,
        image=row.image or "",
    )


def _instance(region_id: str, report: InstanceReport) -> dict[str, Any]:
    return {
        "id": report.instance_id,
        "deployment_id": report.placed.deployment_id,
        "workspace_id": report.placed.workspace_id,
        "project_id": report.placed.project_id,
        "app_id": report.placed.app_id,
        "region_id": region_id,
        "k8s_name": report.pod.name,
        "address": report.pod.address,
        "cpu_millicores": report.placed.cpu_millicores,
        "memory_mib": report.placed.memory_mib,
        "status": report.status.value,
    }
