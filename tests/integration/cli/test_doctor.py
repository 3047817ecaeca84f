"""`hydra-deploy doctor` on a whole installation, as a person runs it."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from service.analytics.dsn import parse as parse_clickhouse
from service.app.doctor.checks import Finding, Level
from service.app.doctor.examine import PARTS, examine
from service.config import load, parse
from service.database.dsn import parse as parse_dsn
from service.dev.clickhouse import ClickHouseServer
from service.dev.programs import ProgramMissing
from service.dev.registry import Account, RegistryServer
from service.dev.restate import RestateOptions
from service.dev.stack import LocalStack, StackOptions
from tests.command import hydra, left
from tests.servers.fake_buildkit import FakeBuildKit
from tests.servers.github import FakeGitHub
from tests.servers.mariadb import MariaDB

pytestmark = pytest.mark.xdist_group("doctor")

PASSWORD = "p:ss wörd"  # noqa: S105 - opens a test's registry


@dataclass(frozen=True)
class Whole:
    """An installation with everything configured; `environ` is the part of its configuration with the secrets."""

    stack: LocalStack
    environ: Mapping[str, str]

    def secrets(self) -> list[str]:
        """List what nobody may read."""
        key = self.environ["HYDRA_GITHUB__PRIVATE_KEY_PEM"].splitlines()[1]
        clickhouse = parse_clickhouse(self.environ["HYDRA_CLICKHOUSE__URL"]).password
        return [key, PASSWORD, clickhouse, parse_dsn(self.stack.dsn).password]


@pytest.fixture(scope="module")
async def whole(
    mariadb: MariaDB, clickhouse: ClickHouseServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Whole]:
    folder = tmp_path_factory.mktemp("whole")
    try:
        registry = RegistryServer(folder / "registry", Account("x-token", PASSWORD))
    except ProgramMissing as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))
    async with registry, FakeGitHub() as github, FakeBuildKit() as trusted, FakeBuildKit() as forks:
        environ = {
            "HYDRA_CLICKHOUSE__URL": clickhouse.url,
            "HYDRA_REGISTRY__URL": registry.host,
            "HYDRA_REGISTRY__USERNAME": "x-token",
            "HYDRA_REGISTRY__PASSWORD": PASSWORD,
            "HYDRA_BUILD__REGISTRY_INSECURE": "true",
            "HYDRA_BUILD__ADDRESS": trusted.address,
            "HYDRA_BUILD__FORK_ADDRESS": forks.address,
            "HYDRA_GITHUB__APP_ID": str(github.app.app_id),
            "HYDRA_GITHUB__PRIVATE_KEY_PEM": github.app.private_key_pem,
            "HYDRA_GITHUB__API_URL": github.url,
        }
        dsn = await mariadb.create_database()
        await mariadb.administer(
            f"GRANT PROCESS ON *.* TO {parse_dsn(dsn).user}@'127.0.0.1'"
        )  # to look at transactions
        options = StackOptions(dsn=dsn, restate=RestateOptions(fsync=False), environ=environ)
        async with LocalStack(folder, options) as stack:
            yield Whole(stack, environ)


async def test_a_healthy_installation_is_all_ok(whole: Whole) -> None:
    ended = await hydra("doctor", "--config", whole.stack.config_file, environ=whole.environ)

    *lines, verdict = ended.out.splitlines()
    assert [line for line in lines if not line.startswith("✓ ok ")] == []
    assert verdict == f"0 faults, 0 warnings, {len(lines)} ok, 0 not configured"
    assert (ended.code, ended.err) == (0, "")
    checked = {line.split()[2] for line in lines}
    assert checked == {part.name for part, _ in PARTS}
    assert not [secret for secret in whole.secrets() if secret in ended.out]


async def test_faults_are_told_one_by_one_and_without_secrets(whole: Whole) -> None:
    wrong = {
        "HYDRA_DATABASE__PRIMARY": whole.stack.dsn.replace("@tcp", "x@tcp"),
        "HYDRA_CLICKHOUSE__URL": whole.environ["HYDRA_CLICKHOUSE__URL"].replace("@", "x@"),
        "HYDRA_REGISTRY__PASSWORD": f"{PASSWORD}x",
        "HYDRA_BUILD__ADDRESS": "tcp://127.0.0.1:1",
        "HYDRA_GITHUB__APP_ID": "1",
    }
    ended = await hydra("doctor", "--json", "--config", whole.stack.config_file, environ={**whole.environ, **wrong})

    assert (ended.code, ended.err) == (1, "")
    faults = {(each["part"], each["check"]): each for each in ended.document if each["level"] == "fault"}
    assert faults.keys() == {
        ("database", "primary"),
        ("clickhouse", "server"),
        ("registry", "log-in"),
        ("builder", "build.address"),
        ("github", "app"),
    }
    assert all(each["advice"] for each in faults.values())
    assert "the database refuses the user or the password" in faults["database", "primary"]["found"]
    assert "the registry refuses registry.username and registry.password" in faults["registry", "log-in"]["found"]
    assert not [secret for secret in whole.secrets() if secret in ended.out]


async def test_another_release_and_other_settings_are_warnings(whole: Whole) -> None:
    changed = {"HYDRA_SERVICES__OPENAPI": "false", "HYDRA_BUILD__TIMEOUT": "5m", **whole.environ}
    found = await examine(load(whole.stack.config_file, changed))

    warnings = [finding for finding in found if finding.level is not Level.OK]
    assert {(each.check, each.level) for each in warnings} == {
        ("release", Level.WARNING),  # another set of services is another release
        ("settings", Level.WARNING),
    }
    settings = next(each.found for each in warnings if each.check == "settings")
    assert "hydra.v1.DeployService: " in settings
    assert "abort timeout 45m where this release asks for 20m" in settings


@asynccontextmanager
async def silent() -> AsyncIterator[str]:
    """Listen, take every connection, and never say a word."""
    over = asyncio.Event()

    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    try:
        host, port = server.sockets[0].getsockname()
        yield f"{host}:{port}"
    finally:
        over.set()
        server.close()
        await server.wait_closed()


async def test_what_never_answers_holds_nobody_up() -> None:
    async with silent() as address:
        settings = parse(
            f"""
            [database]
            primary = "hydra:secret@tcp({address})/hydra?parseTime=true"
            [restate]
            admin_url = "http://{address}"
            ingress_url = "http://{address}"
            [clickhouse]
            url = "http://default:secret@{address}/default"
            [registry]
            url = "{address}"
            [build]
            address = "tcp://{address}"
            registry_insecure = true
            [github]
            allow_unauthenticated_deployments = true
            api_url = "http://{address}"
            """,
            {},
        )
        found = await examine(settings, within=timedelta(seconds=1))

    def parts(level: Level) -> set[str]:
        return {finding.part for finding in found if finding.level is level}

    assert parts(Level.FAULT) == {"database", "restate", "clickhouse", "registry", "builder", "github"}
    assert "configuration" in parts(Level.OK)
    assert not [finding for finding in found if "secret" in f"{finding.found} {finding.advice}"]


async def test_a_check_that_breaks_is_a_finding(whole: Whole) -> None:
    async def broken(_: object) -> AsyncIterator[Finding]:
        yield Finding("part", "first", Level.OK, "well")
        raise KeyError("a secret")

    part = PARTS[0][0]
    found = await examine(load(whole.stack.config_file, {}), [(part, broken)])
    assert [finding.level for finding in found] == [Level.OK, Level.FAULT]
    assert found[-1].found == "it ended with KeyError"


async def test_a_file_that_was_never_migrated_is_not_made_by_looking(tmp_path: Path) -> None:
    file = tmp_path / "hydra.toml"
    file.write_text(f'[database]\nprimary = "sqlite:///{tmp_path}/hydra.db"\n')
    found = await examine(load(file, {}), [each for each in PARTS if each[0].name == "database"])
    assert [(each.check, each.level) for each in found] == [("primary", Level.FAULT)]
    assert "hydra-deploy migrate" in found[0].advice
    assert left(tmp_path).files == ("hydra.toml",)
