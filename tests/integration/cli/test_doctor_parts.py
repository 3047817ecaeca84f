"""What `hydra-deploy doctor` finds in parts that are ill, each for real, one at a time."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.app.doctor import builder, clickhouse, configuration, database, github, registry
from service.app.doctor.checks import Examine, Finding, Level, Part
from service.app.doctor.examine import examine
from service.config import parse
from service.database import tables
from service.database.dsn import parse as parse_dsn
from service.database.engine import Database
from service.database.migrations import migrate
from service.dev.clickhouse import ClickHouseServer
from tests.servers.certificates import Authority
from tests.servers.depot import FakeDepot
from tests.servers.depot_faults import Refuse
from tests.servers.fake_buildkit import FakeBuildKit
from tests.servers.github import FakeGitHub
from tests.servers.github_clock import Clock
from tests.servers.github_faults import Fault
from tests.servers.mariadb import MariaDB

NOBODY_THERE = "127.0.0.1:1"


async def look(part: tuple[Part, Examine], toml: str, dsn: str = "sqlite:///nowhere.db") -> dict[str, Finding]:
    """Look at one part of an installation with this configuration; what is found, by check, the worst of each."""
    settings = parse(f'[database]\nprimary = "{dsn}"\n{toml}', {})
    found = await examine(settings, [part])
    return {each.check: each for each in sorted(found, key=lambda each: list(Level).index(each.level))}


def levels(found: dict[str, Finding]) -> dict[str, Level]:
    return {check: finding.level for check, finding in found.items()}


# ------------------------------------------------------------------------------------------------------- configuration

OPEN = """
[grpc]
listen = "0.0.0.0:9090"
insecure = true
[[grpc.tokens]]
name = "ci"
role = "deploy"
sha256 = "{}"
expires = 2020-01-01
[restate]
http_host = "0.0.0.0"
retries = 3
[services]
openapi = false
""".format("0" * 64)


async def test_doors_that_are_open_and_keys_that_nobody_knows_are_warned_of() -> None:
    found = await look((configuration.PART, configuration.examine), OPEN)
    assert levels(found) == {
        "keys": Level.WARNING,
        "grpc": Level.WARNING,
        "restate endpoint": Level.WARNING,
        "registration": Level.WARNING,
        "services": Level.OK,
    }
    assert "restate.retries" in found["keys"].found
    assert "openapi" in found["services"].found


async def test_a_token_that_has_expired_is_named() -> None:
    settings = parse(f'[database]\nprimary = "sqlite:///nowhere.db"\n{OPEN}', {})
    found = await examine(settings, [(configuration.PART, configuration.examine)])
    said = [finding.found for finding in found if finding.check == "grpc"]
    assert said == ["0.0.0.0:9090 is open to other machines without TLS", "the token 'ci' has expired"]


async def test_certificates_are_judged_by_their_end(tmp_path: Path) -> None:
    late, soon, over = (Authority(life=timedelta(days=days)) for days in (90, 10, -1))
    files = {
        "late.pem": late.server("deploy").cert + late.cert,
        "soon.pem": late.server("deploy").cert + soon.cert,
        "over.pem": over.client().cert,
        "either.pem": over.cert + late.cert,
        "key.pem": late.client().key,
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    toml = f"""
[grpc]
tls_cert_file = "{tmp_path}/late.pem"
tls_key_file = "{tmp_path}/key.pem"
tls_client_ca_file = "{tmp_path}/either.pem"
[client]
tls_ca_file = "{tmp_path}/none.pem"
tls_cert_file = "{tmp_path}/over.pem"
tls_key_file = "{tmp_path}/key.pem"
[build]
address = "tcp://{NOBODY_THERE}"
tls_ca_file = "{tmp_path}/key.pem"
tls_cert_file = "{tmp_path}/soon.pem"
tls_key_file = "{tmp_path}/key.pem"
[registry]
url = "{NOBODY_THERE}"
"""
    found = await look((configuration.PART, configuration.examine), toml)

    assert {key: level for key, level in levels(found).items() if "tls" in key} == {
        "grpc.tls_cert_file": Level.OK,
        "grpc.tls_client_ca_file": Level.OK,
        "client.tls_ca_file": Level.FAULT,
        "client.tls_cert_file": Level.FAULT,
        "build.tls_ca_file": Level.FAULT,
        "build.tls_cert_file": Level.WARNING,
    }
    assert "cannot be read: No such file" in found["client.tls_ca_file"].found
    assert "has expired on" in found["client.tls_cert_file"].found
    assert "no certificate in PEM" in found["build.tls_ca_file"].found


# ------------------------------------------------------------------------------------------------------------ database

DATABASE = (database.PART, database.examine)


@pytest.fixture
async def migrated(mariadb: MariaDB) -> AsyncIterator[tuple[str, Database]]:
    """Make a database with all tables; gives its DSN, too."""
    dsn = await mariadb.create_database()
    opened = await Database.open(parse_dsn(dsn))
    await migrate(opened)
    yield dsn, opened
    await opened.close()


async def test_a_table_that_is_missing_is_named(mariadb: MariaDB, migrated: tuple[str, Database]) -> None:
    dsn, _ = migrated
    name = parse_dsn(dsn).database
    await mariadb.administer(f"DROP TABLE {name}.hydra_builds")
    found = await look(DATABASE, "", dsn)
    assert levels(found) == {"primary": Level.OK, "clock": Level.OK, "schema": Level.FAULT}
    assert found["schema"].found == "the table hydra_builds is missing"
    assert found["schema"].advice == "run `hydra-deploy migrate`"


async def test_a_database_that_takes_no_writes_is_a_fault(mariadb: MariaDB, migrated: tuple[str, Database]) -> None:
    dsn, _ = migrated
    user = parse_dsn(dsn).user
    await mariadb.administer(f"REVOKE UPDATE ON {user}.* FROM {user}@'127.0.0.1'")
    refused = await look(DATABASE, "", dsn)
    assert (refused["writes"].level, refused["writes"].found) == (Level.FAULT, "this user may not write")

    await mariadb.administer(f"GRANT ALL ON {user}.* TO {user}@'127.0.0.1'", "SET GLOBAL read_only = 1")
    try:
        found = await look(DATABASE, "", dsn)
    finally:
        await mariadb.administer("SET GLOBAL read_only = 0")
    assert (found["writes"].level, found["writes"].found) == (Level.FAULT, "it is read-only")


async def test_a_counter_behind_its_rows_is_a_fault(migrated: tuple[str, Database]) -> None:
    dsn, opened = migrated
    topology = {"workspace_id": "w", "deployment_id": "d", "region_id": "region", "created_at": 1, "version": 11}
    topology |= {"desired_replicas": 1, "desired_status": "running"}

    async def work(conn: AsyncConnection) -> None:
        await conn.execute(tables.hydra_region_versions.insert().values(region_id="region", version=10))
        await conn.execute(tables.deployment_topology.insert().values(topology))

    assert (await look(DATABASE, "", dsn))["versions"].level is Level.OK
    await opened.transact(work)
    found = (await look(DATABASE, "", dsn))["versions"]
    assert found.level is Level.FAULT
    assert found.found.endswith(": region")
    assert "migrate --restored" in found.advice


async def test_an_isolation_that_the_dsn_asks_for_is_told(migrated: tuple[str, Database]) -> None:
    dsn, _ = migrated
    found = (await look(DATABASE, "", f"{dsn}&tx_isolation='REPEATABLE-READ'&AutoCommit=true"))["isolation"]
    assert found.level is Level.WARNING
    assert found.found.startswith("database.primary sets tx_isolation, AutoCommit, which does not count")
    assert "READ COMMITTED" in found.found
    assert (await look(DATABASE, "", dsn))["isolation"].level is Level.OK


async def test_a_transaction_that_has_held_rows_for_long_is_named(
    mariadb: MariaDB, migrated: tuple[str, Database]
) -> None:
    dsn, opened = migrated
    may_not_look = await look(DATABASE, "", dsn)
    assert may_not_look["transactions"].level is Level.OFF
    assert "PROCESS" in may_not_look["transactions"].found

    user = parse_dsn(dsn).user
    await mariadb.administer(f"GRANT PROCESS ON *.* TO {user}@'127.0.0.1'")
    looking = Database(parse_dsn(dsn))  # a connection has the privileges of when it was opened

    async def hold(conn: AsyncConnection) -> None:
        await conn.execute(tables.hydra_region_versions.insert().values(region_id="region", version=1))
        connection_id = await conn.scalar(text("SELECT CONNECTION_ID()"))
        assert (await database.transactions(looking)).level is Level.OK
        await asyncio.sleep(2.2)
        found = await database.transactions(looking, timedelta(seconds=2))
        assert found.level is Level.WARNING
        said = re.escape(f"connection {connection_id} of {user} at 127.0.0.1:")
        assert re.fullmatch(rf"{said}\d+ has held rows for \d+ s", found.found)

    await opened.transact(hold)
    await asyncio.sleep(0.2)  # the server's list is a tenth of a second old
    assert (await database.transactions(looking, timedelta())).level is Level.OK
    await looking.close()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (":{port})", ":1)", "the database is not available at the moment"),
        (":p@ss", ":x@ss", "the database refuses the user or the password"),
        ("/hydra", "/other", "the database refuses this user the schema"),
    ],
)
async def test_a_database_that_lets_nobody_in_is_a_fault(mariadb: MariaDB, old: str, new: str, said: str) -> None:
    dsn = await mariadb.create_database()
    found = await look(DATABASE, "", dsn.replace(old.format(port=mariadb.port), new))
    assert levels(found) == {"primary": Level.FAULT}
    assert found["primary"].found.startswith(said)
    assert parse_dsn(dsn).password not in str(found)


async def test_a_replica_that_is_away_is_a_warning(migrated: tuple[str, Database], mariadb: MariaDB) -> None:
    dsn, _ = migrated
    away = dsn.replace(f":{mariadb.port})", ":1)")
    settings = parse(f'[database]\nprimary = "{dsn}"\nreadonly_replica = "{away}"\n', {})
    found = await examine(settings, [DATABASE])
    assert [finding.level for finding in found if finding.check == "replica"] == [Level.WARNING]
    settings = parse(f'[database]\nprimary = "{dsn}"\nreadonly_replica = "{dsn}"\n', {})
    found = await examine(settings, [DATABASE])
    assert {finding.level for finding in found if finding.check != "transactions"} == {Level.OK}


# ---------------------------------------------------------------------------------------------------------- clickhouse

CLICKHOUSE = (clickhouse.PART, clickhouse.examine)


async def test_a_table_that_clickhouse_lacks_is_named(tmp_path: Path) -> None:
    async with ClickHouseServer(tmp_path) as server:
        found = await look(CLICKHOUSE, f'[clickhouse]\nurl = "{server.url}"')
    assert levels(found) == {"server": Level.OK, "clock": Level.OK, "tables": Level.FAULT}
    assert found["tables"].found.startswith("ClickHouse has no table default.")


async def test_a_clickhouse_that_lets_nobody_in_is_a_fault(clickhouse: ClickHouseServer) -> None:
    wrong = clickhouse.url.replace("@", "x@")
    refused = await look(CLICKHOUSE, f'[clickhouse]\nurl = "{wrong}"')
    away = await look(CLICKHOUSE, f'[clickhouse]\nurl = "http://default:x@{NOBODY_THERE}/default"')
    assert levels(refused) == levels(away) == {"server": Level.FAULT}
    assert refused["server"].found.startswith("ClickHouse refuses the user or the password")
    assert away["server"].found.startswith("ClickHouse is not available at the moment")


# -------------------------------------------------------------------------------------------- registry and builder

BUILDER = (builder.PART, builder.examine)


async def test_a_registry_that_is_away_is_a_fault() -> None:
    toml = f'[registry]\nurl = "{NOBODY_THERE}"\n[build]\naddress = "tcp://{NOBODY_THERE}"\nregistry_insecure = true'
    found = await look((registry.PART, registry.examine), toml)
    assert levels(found) == {"log-in": Level.FAULT}


async def test_a_builder_for_other_machines_is_a_fault() -> None:
    async with FakeBuildKit("tcp") as daemon:
        toml = f'build_platform = "linux/arm64"\n[registry]\nurl = "{NOBODY_THERE}"\n[build]\naddress = '
        settings = parse(f'{toml}"{daemon.address}"\n[database]\nprimary = "sqlite:///nowhere.db"\n', {})
        first, second = await examine(settings, [BUILDER])
        assert (first.level, second.level) == (Level.FAULT, Level.OFF)
        assert first.found == f"{daemon.address} builds for linux/amd64, not for linux/arm64"
        daemon.platforms.append(("linux", "arm64"))
        first, _ = await examine(settings, [BUILDER])
        assert first.level is Level.OK


async def test_depot_is_asked_whether_it_takes_the_token() -> None:
    async with FakeDepot() as depot:
        toml = f'[depot]\napi_url = "{depot.url}"\n[registry]\nurl = "registry.depot.dev"\nusername = "x-token"\n'
        taken = await look(BUILDER, f'{toml}password = "{depot.token}"')
        refused = await look(BUILDER, f'{toml}password = "another"')
        depot.program("ListProjects", Refuse("unavailable"))
        away = await look(BUILDER, f'{toml}password = "{depot.token}"')
        asked = {call.method for call in depot.calls}
    assert levels(taken) == {"depot": Level.OK}
    assert levels(refused) == levels(away) == {"depot": Level.FAULT}
    assert "registry.password" in refused["depot"].advice
    assert asked == {"ListProjects"}


# -------------------------------------------------------------------------------------------------------------- github

GITHUB = (github.PART, github.examine)


def app(of: FakeGitHub, app_id: int | None = None) -> str:
    pem = of.app.private_key_pem
    return f"[github]\napp_id = {app_id or of.app.app_id}\napi_url = \"{of.url}\"\nprivate_key_pem = '''{pem}'''"


async def test_github_takes_the_app_and_tells_its_limit() -> None:
    async with FakeGitHub() as fake:
        found = await look(GITHUB, app(fake))
    assert levels(found) == {"app": Level.OK, "clock": Level.OK, "rate limit": Level.OK}
    assert found["rate limit"].found == "4999 of 5000 requests are left in this hour"


@pytest.mark.parametrize(("ahead", "accepted"), [(timedelta(seconds=-40), True), (timedelta(minutes=-5), False)])
async def test_a_clock_that_is_wrong_is_told(ahead: timedelta, accepted: bool) -> None:
    clock = Clock()
    clock.forward(ahead)
    async with FakeGitHub(now_ms=clock.now_ms) as fake:
        found = await look(GITHUB, app(fake))
    assert found["app"].level is (Level.OK if accepted else Level.FAULT)
    assert found["clock"].level is Level.WARNING
    assert found["clock"].found.endswith(" s behind this machine's")


async def test_an_app_that_github_does_not_know_is_a_fault() -> None:
    async with FakeGitHub() as fake:
        found = await look(GITHUB, app(fake, app_id=1))
        pem = fake.app.private_key_pem
        broken = await look(GITHUB, app(fake).replace(pem, "no key at all"))
    assert found["app"].level is Level.FAULT
    assert "refuses the App 1" in found["app"].found
    assert levels(broken) == {"app": Level.FAULT}
    assert "github.private_key_pem" in broken["app"].found


async def test_a_limit_that_is_nearly_used_up_is_a_warning() -> None:
    few = {"x-ratelimit-limit": "5000", "x-ratelimit-remaining": "12"}
    async with FakeGitHub() as fake:
        fake.faults.plan("/app", Fault(status=200, headers=few, body={"slug": "hydra"}))
        found = await look(GITHUB, app(fake))
    assert (found["app"].level, found["rate limit"].level) == (Level.OK, Level.WARNING)


async def test_public_repositories_alone_need_no_app() -> None:
    async with FakeGitHub() as fake:
        toml = f'[github]\nallow_unauthenticated_deployments = true\napi_url = "{fake.url}"'
        found = await look(GITHUB, toml)
    away = await look(GITHUB, f'[github]\nallow_unauthenticated_deployments = true\napi_url = "http://{NOBODY_THERE}"')
    assert (found["app"].level, away["app"].level) == (Level.OFF, Level.FAULT)
