"""`logs`: what builds left in ClickHouse, looked at once and followed."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from service.analytics.build_history import BuildHistory, BuildTail
from service.analytics.builds import ClickHouseBuilds
from service.analytics.dsn import parse as parse_clickhouse
from service.cli.logs import Follower
from service.clock import now_ms
from service.database import deployments
from service.database.dsn import parse
from service.database.engine import Database
from service.database.migrations import migrate
from service.dev.clickhouse import ClickHouseServer
from service.dev.ports import free_port
from service.dev.world import World, create_deployment, seed
from service.domain.build import BuildLogLine, BuildOf, BuildStep
from service.domain.deployment import PRODUCTION, Status
from tests.command import Ended, hydra, hydra_running
from tests.servers.mariadb import MariaDB
from tests.waiting import until

NOW = now_ms()
BASE = BuildStep("sha256:0", "[1/2] FROM base", NOW, NOW, cached=True, error="", has_logs=False)
MADE = BuildStep("sha256:1", "[2/2] RUN make", NOW, NOW + 1240, cached=False, error="", has_logs=True)
BROKEN = BuildStep("sha256:1", "[2/2] RUN make", NOW, NOW + 7, cached=False, error="exit code: 2", has_logs=True)
WRITTEN = "\x1b[31mred\x1b[0m \x1b[2J[bold]\nsecond\n"


@dataclass(frozen=True)
class Site:
    """A database with a world in it, a configuration that names it, and a way to write as builds do."""

    database: Database
    world: World
    config: Path
    clickhouse: ClickHouseServer

    async def deployment(self, status: Status) -> str:
        app = self.world.app
        deployment_id = await create_deployment(self.database, app.id, app.environments[PRODUCTION])
        await self.turn(deployment_id, status)
        return deployment_id

    async def turn(self, deployment_id: str, status: Status) -> None:
        change = partial(deployments.change, deployment_id=deployment_id, now_ms=now_ms(), status=status.value)
        await self.database.transact(change)

    def of(self, deployment_id: str) -> BuildOf:
        return BuildOf(self.world.workspace_id, self.world.project_id, deployment_id)

    async def write(
        self, deployment_id: str, lines: Sequence[BuildLogLine] = (), steps: Sequence[BuildStep] = ()
    ) -> None:
        builds = ClickHouseBuilds(parse_clickhouse(self.clickhouse.url))
        builds.add_lines(self.of(deployment_id), lines)
        builds.add_steps(self.of(deployment_id), steps)
        await builds.close(timedelta(minutes=1))
        assert builds.lost_rows == 0

    def arguments(self, deployment_id: str, *options: str) -> tuple[str | Path, ...]:
        return ("logs", deployment_id, "--config", self.config, *options)

    async def logs(self, deployment_id: str, *options: str) -> Ended:
        return await hydra(*self.arguments(deployment_id, *options), environ=self.environ)

    @property
    def environ(self) -> dict[str, str]:
        return {"HYDRA_CLICKHOUSE__URL": self.clickhouse.url}


@pytest.fixture(scope="module")
async def site(
    server: MariaDB | None, clickhouse: ClickHouseServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    dsn = await server.create_database() if server else f"sqlite:///{folder}/hydra.db"
    config = folder / "hydra.toml"
    config.write_text(f"[database]\nprimary = {json.dumps(dsn)}\n")
    database = await Database.open(parse(dsn))
    await migrate(database)
    yield Site(database, await seed(database), config, clickhouse)
    await database.close()


def line(time_ms: int, message: str) -> BuildLogLine:
    return BuildLogLine(MADE.step_id, time_ms, message)


async def test_steps_and_lines_are_shown_in_time_order(site: Site) -> None:
    deployment_id = await site.deployment(Status.READY)
    await site.write(deployment_id, [line(NOW + 2, WRITTEN), line(NOW + 2, "third")], [BASE, MADE])

    told, document = await asyncio.gather(site.logs(deployment_id), site.logs(deployment_id, "--json"))

    assert (told.code, told.err, document.code, document.err) == (0, "", 0, "")
    assert told.out.splitlines() == [
        "#1 ✓ [1/2] FROM base   cached",
        "#2 [2/2] RUN make",
        "#2 | red [bold]",
        "#2 | second",
        "#2 | third",
        "#2 ✓ [2/2] RUN make   1.24 s",
    ]
    assert document.document["status"] == "ready"
    assert [step["name"] for step in document.document["steps"]] == [BASE.name, MADE.name]
    assert [line["message"] for line in document.document["lines"]] == [WRITTEN, "third"]


async def test_a_step_that_failed_says_why(site: Site) -> None:
    deployment_id = await site.deployment(Status.FAILED)
    await site.write(deployment_id, [line(NOW + 2, "make: *** no rule")], [BROKEN])
    ended = await site.logs(deployment_id)
    assert (ended.code, ended.out.splitlines()) == (
        0,
        ["#1 [2/2] RUN make", "#1 | make: *** no rule", "#1 ✗ [2/2] RUN make   7 ms", "#1   exit code: 2"],
    )


async def test_a_deployment_without_a_build_is_said_to_have_none(site: Site) -> None:
    deployment_id = await site.deployment(Status.READY)
    told, document = await asyncio.gather(site.logs(deployment_id), site.logs(deployment_id, "--json"))
    assert (told.code, document.code) == (0, 0)
    assert told.out == f"no build of {deployment_id} has left a step or a line; the deployment is ready\n"
    assert document.document == {"deployment_id": deployment_id, "status": "ready", "steps": [], "lines": []}


async def test_followed_it_shows_what_comes_until_the_build_is_over(site: Site) -> None:
    deployment_id = await site.deployment(Status.BUILDING)
    await site.write(deployment_id, [line(NOW, "first\nsec")])
    async with hydra_running(*site.arguments(deployment_id, "--follow"), environ=site.environ) as running:
        assert await running.wrote("first") == "#1 | first\n"
        await site.write(deployment_id, [line(NOW, "ond\n"), line(NOW, "third\n")])
        await running.wrote("third")
        await site.write(deployment_id, [line(NOW + 5, "last")], [MADE])
        await site.turn(deployment_id, Status.DEPLOYING)
        ended = await running.ended()
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines() == [
        *("#1 | first", "#1 | second", "#1 | third", "#1 | last"),
        "#1 ✓ [2/2] RUN make   1.24 s",
    ]


async def test_followed_as_json_it_is_a_document_to_a_line(site: Site) -> None:
    deployment_id = await site.deployment(Status.READY)
    await site.write(deployment_id, [line(NOW + 2, WRITTEN)], [MADE])
    ended = await site.logs(deployment_id, "--follow", "--json")
    assert (ended.code, ended.err) == (0, "")
    written, made, end = map(json.loads, ended.out.splitlines())
    assert written == {"kind": "line", "step_id": MADE.step_id, "time_ms": NOW + 2, "message": WRITTEN}
    assert (made["kind"], made["name"], made["duration_ms"]) == ("step", MADE.name, 1240)
    assert end == {"kind": "end", "deployment_id": deployment_id, "status": "ready"}


@dataclass
class Seen:
    """A view that remembers."""

    messages: list[str] = field(default_factory=list)

    def know(self, steps: Iterable[BuildStep]) -> None:
        assert not list(steps)

    def line(self, line: BuildLogLine) -> None:
        self.messages.append(line.message)

    def ended(self, step: BuildStep) -> None:
        raise AssertionError(step)

    def close(self, status: str) -> None:
        raise AssertionError(status)


async def test_rows_that_come_when_the_build_is_over_are_waited_for(site: Site) -> None:
    deployment_id = await site.deployment(Status.READY)
    history = BuildHistory(parse_clickhouse(site.clickhouse.url))
    seen = Seen()

    async def shown() -> bool:
        return seen.messages == ["late"]

    tail = BuildTail(history, site.of(deployment_id))
    patient = Follower(site.database, deployment_id, poll=timedelta(milliseconds=20), last_rows=timedelta(hours=1))
    following = asyncio.create_task(patient.follow(tail, seen))
    await site.write(deployment_id, [line(NOW, "late")])
    await until(shown)
    following.cancel()
    await asyncio.wait([following])

    await replace(patient, last_rows=timedelta()).follow(tail, seen)
    assert seen.messages == ["late"]
    await history.close()


async def test_following_can_be_interrupted(site: Site) -> None:
    deployment_id = await site.deployment(Status.BUILDING)
    await site.write(deployment_id, [line(NOW, "first\n")])
    async with hydra_running(*site.arguments(deployment_id, "-f"), environ=site.environ) as running:
        await running.wrote("first")
        running.interrupt()
        ended = await running.ended()
    assert (ended.code, ended.out, ended.err) == (130, "#1 | first\n", "")


async def test_a_deployment_that_does_not_exist_is_said(site: Site) -> None:
    ended = await site.logs("d_none", "--follow")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "hydra-deploy: the deployment 'd_none' does not exist [DEPLOYMENT_NOT_FOUND]\n"


async def test_without_clickhouse_it_refuses(site: Site) -> None:
    ended = await hydra(*site.arguments(await site.deployment(Status.READY)), environ={"HYDRA_CLICKHOUSE__URL": ""})
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == (
        "hydra-deploy: without ClickHouse nobody keeps what builds write: set clickhouse.url "
        "[CLICKHOUSE_NOT_CONFIGURED]\n"
    )


async def test_a_clickhouse_that_is_away_is_said(site: Site) -> None:
    environ = {"HYDRA_CLICKHOUSE__URL": f"http://user:secret@127.0.0.1:{free_port()}/default"}
    ended = await hydra(*site.arguments(await site.deployment(Status.READY)), environ=environ)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "hydra-deploy: ClickHouse is not available at the moment [CLICKHOUSE_UNAVAILABLE]\n"
