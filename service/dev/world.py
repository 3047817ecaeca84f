"""A sample world for development and tests: what the control API and its dashboard would have put into the tables."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.clock import now_ms
from service.database import tables
from service.database.engine import Database
from service.database.upsert import insert_ignore
from service.dev.cluster_service import Region
from service.domain.deployment import PREVIEW, PRODUCTION, Status
from service.domain.identifiers import DEPLOYMENT_K8S_NAME_LENGTH, Prefix, dns_label, new_id
from service.errors import NotFound

_random = random.SystemRandom()
_Row = dict[str, Any]


@dataclass(frozen=True)
class RuntimeSpec:
    """`app_runtime_settings`; a deployment takes a copy of it when it is created. Sizes are per replica."""

    port: int = 8080
    cpu_millicores: int = 256
    memory_mib: int = 256
    command: tuple[str, ...] = ()
    healthcheck: dict[str, str | int] | None = None
    shutdown_signal: str = "SIGTERM"
    sentinel_config: bytes = b""
    openapi_spec_path: str | None = None


@dataclass(frozen=True)
class WorldSpec:
    """What to seed, by slug. Every app gets every environment in every region. An empty `regions` is none."""

    workspace: str = "acme"
    project: str = "shop"
    apps: tuple[str, ...] = ("default",)
    environments: tuple[str, ...] = (PRODUCTION, PREVIEW)
    regions: tuple[str, ...] = ("us-east-1", "eu-central-1", "ap-southeast-1")
    platform: str = "sim"
    replicas: int = 1
    quota_cpu_millicores: int = 10_240
    quota_memory_mib: int = 20_480
    runtime: RuntimeSpec = field(default_factory=RuntimeSpec)


@dataclass(frozen=True)
class App:
    """An app and the ids of its environments by slug."""

    id: str
    slug: str
    environments: dict[str, str]


@dataclass(frozen=True)
class World:
    """The ids of what was seeded; `dataclasses.asdict` makes JSON of it."""

    workspace_id: str
    workspace_slug: str
    project_id: str
    project_slug: str
    apps: dict[str, App]
    regions: dict[str, Region]

    @property
    def app(self) -> App:
        """The first app."""
        return next(iter(self.apps.values()))


@dataclass(frozen=True)
class DeploymentSpec:
    """What a caller of the control API says of a new deployment; all of it may be unknown."""

    image: str | None = None
    git_commit_sha: str | None = None
    git_branch: str | None = None
    git_commit_message: str | None = None
    pr_number: int | None = None
    fork_repository_full_name: str | None = None
    created_at_ms: int | None = None


async def seed(database: Database, spec: WorldSpec | None = None) -> World:
    """Put a world into the database, or complete the one that is there; rows that exist stay as they are."""
    return await database.transact(partial(_seed, spec=spec or WorldSpec(), at_ms=now_ms()))


async def regions(database: Database) -> list[Region]:
    """Read all regions, by name."""

    async def work(conn: AsyncConnection) -> list[Region]:
        region = tables.regions.c
        rows = await conn.execute(select(region.id, region.name, region.platform).order_by(region.name, region.id))
        return [Region(*row) for row in rows]

    return await database.read(work)


async def create_deployment(
    database: Database, app_id: str, environment_id: str, spec: DeploymentSpec | None = None
) -> str:
    """Create a deployment as the control API does before it calls Deploy, and return its id.

    Raises NotFound where the app or its runtime settings for the environment do not exist.
    """
    deployment_id = new_id(Prefix.DEPLOYMENT, _random)
    k8s_name = dns_label(_random, DEPLOYMENT_K8S_NAME_LENGTH)

    async def insert(conn: AsyncConnection) -> None:
        app = await _one(conn, tables.apps, id=app_id)
        runtime = await _one(conn, tables.app_runtime_settings, app_id=app_id, environment_id=environment_id)
        row = {"id": deployment_id, "k8s_name": k8s_name, "environment_id": environment_id, "app_id": app_id}
        row |= {"workspace_id": app["workspace_id"], "project_id": app["project_id"], "status": Status.PENDING.value}
        await conn.execute(
            tables.deployments.insert().values(row | _asked(spec or DeploymentSpec()) | _copied(runtime))
        )

    await database.transact(insert)
    return deployment_id


@dataclass(frozen=True)
class Connection:
    """A repository on GitHub, `owner/name`, and the App's installation that may write to it."""

    installation_id: int
    repository: str


async def connect_repository(database: Database, project_id: str, app_id: str, connection: Connection) -> None:
    """Connect an app to its repository, as the dashboard does."""
    row = {
        "project_id": project_id,
        "app_id": app_id,
        "installation_id": connection.installation_id,
        "repository_id": 1,
        "repository_full_name": connection.repository,
        "created_at": now_ms(),
    }
    await database.transact(lambda conn: insert_ignore(conn, tables.github_repo_connections, row))


def _asked(spec: DeploymentSpec) -> _Row:
    return {
        "image": spec.image,
        "git_commit_sha": spec.git_commit_sha,
        "git_branch": spec.git_branch,
        "git_commit_message": spec.git_commit_message,
        "pr_number": spec.pr_number,
        "fork_repository_full_name": spec.fork_repository_full_name,
        "encrypted_environment_variables": b"",
        "created_at": now_ms() if spec.created_at_ms is None else spec.created_at_ms,
    }


def _copied(runtime: Mapping[str, Any]) -> _Row:
    names = ("port", "cpu_millicores", "memory_mib", "command", "healthcheck", "shutdown_signal", "sentinel_config")
    return {name: runtime[name] for name in names}


async def _seed(conn: AsyncConnection, spec: WorldSpec, at_ms: int) -> World:
    workspace_id = await _workspace(conn, spec, at_ms)
    project = {"workspace_id": workspace_id, "slug": spec.project}
    new = {"name": spec.project, "created_at": at_ms}
    project_id = await _ensure(conn, tables.projects, project, new, Prefix.PROJECT)
    regions = {name: await _region(conn, name, spec.platform) for name in spec.regions}
    owner = {"workspace_id": workspace_id, "project_id": project_id}
    apps = {slug: await _app(conn, spec, owner | {"slug": slug}, regions, at_ms) for slug in spec.apps}
    return World(workspace_id, spec.workspace, project_id, spec.project, apps, regions)


async def _workspace(conn: AsyncConnection, spec: WorldSpec, at_ms: int) -> str:
    new = {
        "org_id": new_id(Prefix.ORG, _random),
        "name": spec.workspace,
        "beta_features": {},
        "features": {},
        "created_at_m": at_ms,
    }
    workspace_id = await _ensure(conn, tables.workspaces, {"slug": spec.workspace}, new, Prefix.WORKSPACE)
    quota = {
        "workspace_id": workspace_id,
        "allocated_cpu_millicores_total": spec.quota_cpu_millicores,
        "allocated_memory_mib_total": spec.quota_memory_mib,
    }
    await insert_ignore(conn, tables.quota, quota)
    return workspace_id


async def _region(conn: AsyncConnection, name: str, platform: str) -> Region:
    natural = {"name": name, "platform": platform}
    return Region(await _ensure(conn, tables.regions, natural, {}, Prefix.REGION), name, platform)


async def _app(conn: AsyncConnection, spec: WorldSpec, app: _Row, regions: Mapping[str, Region], at_ms: int) -> App:
    """Seed an app with its environments; `app` is its slug and the ids of workspace and project."""
    natural = {"project_id": app["project_id"], "slug": app["slug"]}
    new = {"workspace_id": app["workspace_id"], "name": app["slug"], "created_at": at_ms}
    app_id = await _ensure(conn, tables.apps, natural, new, Prefix.APP)
    owner = {"workspace_id": app["workspace_id"], "project_id": app["project_id"], "created_at": at_ms}
    environments = {}
    for slug in spec.environments:
        natural = {"app_id": app_id, "slug": slug}
        environments[slug] = await _ensure(conn, tables.environments, natural, owner, Prefix.ENVIRONMENT)
        settings = {"app_id": app_id, "environment_id": environments[slug]} | owner
        del settings["project_id"]
        await _settings(conn, spec, settings, regions)
    return App(app_id, app["slug"], environments)


async def _settings(conn: AsyncConnection, spec: WorldSpec, owner: _Row, regions: Mapping[str, Region]) -> None:
    """Seed the three kinds of settings of an app's environment; `owner` is what they have in common."""
    runtime = {name: getattr(spec.runtime, name) for name in RuntimeSpec.__dataclass_fields__}
    await insert_ignore(conn, tables.app_runtime_settings, owner | runtime | {"command": list(spec.runtime.command)})
    await insert_ignore(conn, tables.app_build_settings, owner)
    regional = [owner | {"region_id": region.id, "replicas": spec.replicas} for region in regions.values()]
    if regional:
        await insert_ignore(conn, tables.app_regional_settings, regional)


async def _ensure(conn: AsyncConnection, table: Table, natural: _Row, new: Mapping[str, Any], prefix: Prefix) -> str:
    """Return the id of the row with a natural key; one that is missing is inserted, with the `new` columns."""
    found = await conn.scalar(select(table.c.id).filter_by(**natural))
    if found is not None:
        return str(found)
    id_ = new_id(prefix, _random)
    await conn.execute(table.insert().values({"id": id_, **natural, **new}))
    return id_


async def _one(conn: AsyncConnection, table: Table, **natural: str) -> _Row:
    row = (await conn.execute(select(table).filter_by(**natural))).one_or_none()
    if row is None:
        named = " and ".join(f"{name} {value!r}" for name, value in natural.items())
        raise NotFound(f"there is no row in {table.name} for {named}")
    return row._asdict()
