"""An installation as an earlier worker leaves it: tables that are not of our making, and rows in every state."""

import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.v1 import versioning_pb2
from sqlalchemy import Table, text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.clock import now_ms
from service.database import tables
from service.database.engine import Database
from service.domain.deployment import PRODUCTION
from tests.inside_caller import InsideCaller
from tests.installation import IMAGE
from tests.reporting_site import Connected, ReportingSite
from tests.servers.mariadb import MariaDB
from tests.waiting import until

SCHEMA = Path(__file__).parent / "interop" / "reference_schema.sql"

_COUNTER = re.compile(r" AUTO_INCREMENT=\d+")
_BEATS = ("clusters", "last_heartbeat_at")  # of agents, which go on meanwhile


@dataclass(frozen=True)
class Dsns:
    """Who may do what in the database: `owner` makes tables, `service` reads and writes rows."""

    owner: str
    service: str


async def create_database(server: MariaDB) -> Dsns:
    """Create a database with the tables, and two users."""
    owner = await server.create_database()
    name = owner.partition("?")[0].rpartition("/")[2]
    user, password = f"{name}_rows", secrets.token_hex(12)
    await server.administer(
        f"CREATE USER {user}@'127.0.0.1' IDENTIFIED BY '{password}'",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON {name}.* TO {user}@'127.0.0.1'",
        f"USE {name}",
        *filter(str.strip, SCHEMA.read_text().split(";\n")),
    )
    return Dsns(owner, f"{user}:{password}@tcp(127.0.0.1:{server.port})/{name}?parseTime=true")


@dataclass(frozen=True)
class Contents:
    """What a database holds, by table: the statement that makes the table, and its rows."""

    statements: dict[str, str]
    rows: dict[str, list[dict[str, Any]]]


async def contents(database: Database) -> Contents:
    """Read all there is."""

    async def work(conn: AsyncConnection) -> Contents:
        names = list(await conn.scalars(text("SHOW TABLES")))
        statements, rows = {}, {}
        for name in names:
            created = (await conn.execute(text(f"SHOW CREATE TABLE `{name}`"))).one()[1]
            statements[name] = _COUNTER.sub("", created)  # the agents' upserts move it
            found = (await conn.execute(text(f"SELECT * FROM `{name}` ORDER BY 1"))).mappings()
            rows[name] = [{key: value for key, value in row.items() if (name, key) != _BEATS} for row in found]
        return Contents(statements, rows)

    return await database.read(work)


class OldInstallation:
    """Writes what the earlier worker and the control API have written. It counts as that worker does, by a call."""

    def __init__(self, site: ReportingSite, inside: InsideCaller) -> None:
        self.site = site
        self.inside = inside

    async def insert(self, table: Table | str, *rows: dict[str, Any]) -> None:
        """Insert rows; a table that we do not know is given by its name."""

        async def work(conn: AsyncConnection) -> None:
            if isinstance(table, Table):
                await conn.execute(table.insert(), list(rows))
                return
            columns = ", ".join(rows[0])
            values = ", ".join(f":{name}" for name in rows[0])
            await conn.execute(text(f"INSERT INTO {table} ({columns}) VALUES ({values})"), list(rows))

        await self.site.installation.database.transact(work)

    async def next_version(self, region_id: str) -> int:
        request = versioning_pb2.NextVersionRequest()
        return int((await self.inside.call("hydra.v1.VersioningService", "NextVersion", region_id, request)).version)

    async def deployment(self, of: Connected, status: str = "ready", **columns: Any) -> str:
        """Insert a production deployment in a status, with its steps, and topologies where it came so far."""
        deployment_id = await self.site.deployment(of)
        desired = columns.setdefault("desired_state", "running")
        columns.setdefault("image", IMAGE)
        await self.site.installation.set(tables.deployments, {"id": deployment_id}, status=status, **columns)
        await self._insert_steps(of, deployment_id, status)
        if status in ("deploying", "network", "finalizing", "ready"):
            await self._insert_topologies(of, deployment_id, "running" if desired == "running" else "stopped")
        return deployment_id

    async def _insert_steps(self, of: Connected, deployment_id: str, status: str) -> None:
        failed = "building" if status == "failed" else ""
        step = failed or status
        row = {
            "workspace_id": of.world.workspace_id,
            "project_id": of.world.project_id,
            "app_id": of.world.app.id,
            "environment_id": of.world.app.environments[PRODUCTION],
            "deployment_id": deployment_id,
            "started_at": now_ms(),
        }
        ended = {"ended_at": now_ms(), "error": None}
        await self.insert(tables.deployment_steps, {**row, "step": "queued", **ended})
        if step in ("starting", "building", "deploying", "network", "finalizing"):
            end = {"ended_at": now_ms(), "error": "no such file"} if failed else {"ended_at": None, "error": None}
            await self.insert(tables.deployment_steps, {**row, "step": step, **end})

    async def _insert_topologies(self, of: Connected, deployment_id: str, desired_status: str) -> None:
        rows = [
            {
                "workspace_id": of.world.workspace_id,
                "deployment_id": deployment_id,
                "region_id": region.id,
                "desired_replicas": 1,
                "version": await self.next_version(region.id),
                "desired_status": desired_status,
                "created_at": now_ms(),
            }
            for region in of.world.regions.values()
        ]
        await self.insert(tables.deployment_topology, *rows)

    async def make_live(self, of: Connected, deployment_id: str) -> list[str]:
        """Give a deployment the app's traffic, and return the ids of the routes that follow the live one."""
        app = of.world.app
        row = {
            "project_id": of.world.project_id,
            "app_id": app.id,
            "environment_id": app.environments[PRODUCTION],
            "deployment_id": deployment_id,
            "created_at": now_ms(),
        }
        names = {"live": "shop", "environment": "shop-production"}
        routes = [
            {
                **row,
                "id": f"flr_{secrets.token_hex(6)}",
                "sticky": sticky,
                "fully_qualified_domain_name": f"{name}-{of.world.workspace_slug}.hydra.localhost",
            }
            for sticky, name in names.items()
        ]
        await self.insert(tables.frontline_routes, *routes)
        await self.site.installation.set(tables.apps, {"id": app.id}, current_deployment_id=deployment_id)
        return [str(route["id"]) for route in routes]

    async def furnish(self) -> None:
        """Put a row into each table that would have none, about a region where no agent of ours is."""
        of = await self.site.installation.world(regions=("far-away",), platform="other", environments=(PRODUCTION,))
        (region,) = of.regions.values()
        (environment_id,) = of.app.environments.values()
        owner = {"workspace_id": of.workspace_id}
        place = {**owner, "project_id": of.project_id, "app_id": of.app.id, "environment_id": environment_id}
        version = await self.next_version(region.id)
        for name, row in _others(region.id, version).items():
            known = tables.reference.tables.get(name)
            columns = known.c if known is not None else owner
            found = {key: value for key, value in place.items() if key in columns}
            await self.insert(name if known is None else known, {**found, **row})

    async def settle(self) -> None:
        """Wait until the regions run what they are to run: from then on they report nothing new."""
        installation = self.site.installation

        async def runs() -> bool:
            wanted = await installation.rows(tables.deployment_topology, desired_status="running")
            there = await installation.rows(tables.instances, status="running")
            placed = {(row["deployment_id"], row["region_id"]) for row in there}
            return {(row["deployment_id"], row["region_id"]) for row in wanted} <= placed

        await until(runs)


def _others(region_id: str, version: int) -> dict[str, dict[str, Any]]:
    """Make rows that are nobody's but the earlier worker's and its neighbours', by table."""
    created = {"created_at": now_ms()}
    size = {"cpu_millicores": 256, "memory_mib": 256}
    named = {"k8s_name": "aaaaaaaa", "region_id": region_id, "version": version, **created}
    return {
        "sentinels": {
            **named,
            **size,
            "id": "s_old",
            "k8s_address": "aaaaaaaa.sentinel.svc.cluster.local:8040",
            "image": "sentinel:1",
            "desired_replicas": 3,
            "available_replicas": 3,
        },
        "cilium_network_policies": {
            **named,
            "id": "net_old",
            "deployment_id": "d_gone",
            "k8s_namespace": "sentinel",
            "policy": {"b": 1, "a": [None, "é"]},
        },
        "openapi_specs": {"id": "oas_old", "deployment_id": "d_gone", "content": b"\x00\xff", **created},
        "horizontal_autoscaling_policies": {"id": "hap_old", "replicas_min": 1, "replicas_max": 2, **created},
        "app_environment_variables": {"id": "var_old", "key": "A", "value": "b", "type": "writeonly", **created},
        "github_app_installations": {"installation_id": 2**53 + 1, **created},
        "custom_domains": {
            "id": "dom_old",
            "domain": "shoes.example.com",
            "challenge_type": "HTTP-01",
            "verification_token": "x",
            "target_cname": "y",
            **created,
        },
        "certificates": {"hostname": "shoes.example.com", "certificate": "-----BEGIN CERTIFICATE-----"},
    }
