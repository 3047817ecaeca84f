"""One installation for the scenarios: nothing happens by itself, builds do as told, and its secrets are all planted."""

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from hydra.v1 import deploy_pb2, deployment_pb2
from pydantic import SecretStr

from service.config import Settings
from service.config.table import leaves
from service.database import tables
from service.dev import snapshot
from tests.inside_caller import InsideCaller
from tests.installation import Installation
from tests.reporting_site import Connected, ReportingSite, reporting_site
from tests.servers.fake_build import FakeBuild, Script, succeeds
from tests.servers.fake_buildkit import FakeBuildKit

_DEPLOYMENTS = "hydra.v1.DeploymentService"

# A deploy that waits goes on waiting, and a scheduled stop comes when the test says so.
_PATIENT = {"HYDRA_DEPLOY__STANDBY_DELAY": "1h", "HYDRA_DEPLOY__HEALTH_TIMEOUT": "10m"}
# So short that what it does to a step that takes its time is seen at once.
_HASTY = {"HYDRA_RESTATE__INACTIVITY_TIMEOUT": "1ms"}
VARIABLES = "planted-variables-of-an-app"
_GIVEN = ("database.primary", "github.private_key_pem")  # by what runs around the worker
_CLICKHOUSE = "http://robot:planted-clickhouse.url@127.0.0.1:1/default"  # nobody listens there


def planted(dsn: str) -> Mapping[str, str]:
    """Make a secret for every key that takes one, by key, but for those that the site has of its own."""
    keys = [".".join(path) for path, field in leaves(Settings) if field.annotation is SecretStr]
    known = {"database.readonly_replica": dsn, "clickhouse.url": _CLICKHOUSE, "clickhouse.admin_url": _CLICKHOUSE}
    return {key: known.get(key, f"planted-{key}") for key in keys if key not in _GIVEN}


def variable(key: str) -> str:
    """Name the environment variable of a key."""
    return f"HYDRA_{key.replace('.', '__').upper()}"


@asynccontextmanager
async def scenario_site(folder: Path, dsn: str, daemon: FakeBuildKit) -> AsyncIterator[ReportingSite]:
    """Run an installation with a GitHub, that builds on the daemon."""
    environ = {
        **_PATIENT,
        **_HASTY,
        **{variable(key): secret for key, secret in planted(dsn).items()},
        "HYDRA_BUILD__ADDRESS": daemon.address,
        "HYDRA_REGISTRY__URL": "registry.example.com",
        "HYDRA_REGISTRY__USERNAME": "robot",
    }
    async with reporting_site(folder, dsn, environ) as running:
        yield running


def of_git(connected: Connected, deployment_id: str, **source: Any) -> deploy_pb2.DeployRequest:
    """Ask for a deploy of the repository's commit, or of what else the source is to be."""
    given: dict[str, Any] = {
        "installation_id": connected.installation_id,
        "repository": connected.repository.full_name,
        "commit_sha": connected.sha,
        "branch": connected.branch,
    }
    return deploy_pb2.DeployRequest(deployment_id=deployment_id, git=deploy_pb2.GitSource(**(given | source)))


def held_until(released: asyncio.Event) -> Script:
    """Play a build that lasts until it is released, and then succeeds."""

    async def script(build: FakeBuild) -> str:
        build.begun.set()
        await released.wait()
        return await succeeds()(build)

    return script


async def scheduled(inside: InsideCaller, deployment_id: str) -> dict[str, Any] | None:
    """Read the change of the deployment that is scheduled, as the object keeps it."""
    pending: dict[str, Any] | None = (await inside.state(_DEPLOYMENTS, deployment_id)).get("transition")
    return pending


async def fire(inside: InsideCaller, deployment_id: str, change: Mapping[str, Any]) -> None:
    """Deliver a change that was scheduled, as its delayed message does when its time has come."""
    request = deployment_pb2.ChangeDesiredStateRequest(nonce=change["Nonce"], state=change["To"])
    await inside.call(_DEPLOYMENTS, "ChangeDesiredState", deployment_id, request)


async def running(house: Installation, deployment_id: str) -> tuple[str, set[str]]:
    """Read what the deployment is to do, and what its topologies are."""
    deployment = await house.row(tables.deployments, id=deployment_id)
    topologies = await house.rows(tables.deployment_topology, deployment_id=deployment_id)
    return deployment["desired_state"], {row["desired_status"] for row in topologies}


def secrets_of(site: ReportingSite) -> dict[str, str]:
    """Gather all that nobody may ever read anywhere, by what it is."""
    dsn = site.installation.stack.dsn
    found = {key: re.search(r"planted-[\w.]+", value) for key, value in planted(dsn).items()}
    return {
        "database.primary": dsn.partition("@tcp(")[0][-12:],  # what follows its odd letters
        "the app's variables": VARIABLES,
        **{key: secret[0] for key, secret in found.items() if secret is not None},
        **{f"GitHub's key, {line[:6]}": line for line in site.github.app.private_key_pem.splitlines()[1:-1]},
        **{f"GitHub's token, {token[:6]}": token for token in site.github.tokens.given},
    }


def spellings(secret: str) -> set[str]:
    """Write a secret as it may be found: as it is, in a dump of bytes, and as a password of HTTP."""
    # The last digit of Base64 depends on what follows.
    encoded = {base64.b64encode(raw).decode().rstrip("=")[:-1] for raw in (secret.encode(), f"robot:{secret}".encode())}
    return {secret, secret.encode().hex()} | encoded


async def written_down(house: Installation) -> dict[str, str]:
    """Read all that is left of what happened, without the one column where an app's variables belong."""
    names = ("sys_invocation", "sys_journal", "sys_journal_events", "sys_inbox", "state")
    told = [json.dumps(await house.admin_query(f"select * from {name}")) for name in names]
    taken = await house.database.read(snapshot.take)
    rows = [dict(row) | {"encrypted_environment_variables": b""} for table in taken.values() for row in table.values()]
    return {
        "the worker's log": house.stack.worker_log.read_text(),
        "Restate's log": house.stack.restate.log.read_text(),
        "Restate's tables": "\n".join(told),
        "the rows": "\n".join(str(row) for row in rows),
    }
