"""`reconcile`, and the rounds that workers go by themselves."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.database import tables
from service.dev.stack import LocalStack
from tests.command import hydra
from tests.installation import Installation, stack_options
from tests.integration.reconciling.test_dead_operations import ended, under_way
from tests.servers.mariadb import MariaDB
from tests.waiting import until

ROUNDS = "select id, idempotency_key from sys_invocation where target_service_name = 'hydra.v1.ReconcileService'"


@pytest.fixture(scope="module")
async def diligent(server: MariaDB | None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    """Run an installation whose worker goes a round in every second."""
    folder = tmp_path_factory.mktemp("diligent")
    dsn = await server.create_database() if server else ""
    environ = {"HYDRA_RECONCILE__INTERVAL": "1s", "HYDRA_RECONCILE__GRACE": "1ms"}
    async with Installation(LocalStack(folder, stack_options(folder, dsn, environ=environ))) as running:
        yield running


async def killed(installation: Installation) -> tuple[str, str]:
    """Begin a deploy and kill it; returns the deployment and the operation."""
    deployment_id = await installation.deployment(await installation.world())
    async with under_way(installation, deployment_id, "provision regions.after") as operation:
        await installation.kill(operation)
        await ended(installation, operation)
    return deployment_id, operation


async def test_a_worker_settles_what_was_killed_by_itself(diligent: Installation) -> None:
    deployment_id, operation = await killed(diligent)

    async def settled() -> bool:
        return await diligent.status(deployment_id) == "failed"

    await until(settled)
    assert (await diligent.row(tables.hydra_operations, id=operation))["reason"] == "KILLED"


async def test_every_round_is_gone_once(diligent: Installation) -> None:
    """The rounds are named after the clock, so that those who ask for one at a time are given the same."""

    async def some() -> bool:
        return len(await diligent.admin_query(ROUNDS)) > 3

    await until(some)
    names = [row["idempotency_key"] for row in await diligent.admin_query(ROUNDS)]
    assert len(names) == len(set(names))
    assert sum(name.startswith("reconcile/thorough/1:00:00/") for name in names) in (1, 2)  # an hour may have ended


async def test_a_round_by_hand_tells_what_it_does(installation: Installation) -> None:
    deployment_id, operation = await killed(installation)
    config = ("--config", installation.stack.config_file)

    told, planned = await asyncio.gather(
        hydra("reconcile", "--dry-run", *config), hydra("reconcile", "--dry-run", "--json", *config)
    )
    assert (told.code, told.err, planned.code, planned.err) == (0, "", 0, "")
    assert operation in told.out
    assert "would settle" in told.out
    (found,) = (each for each in planned.document if each["subject"] == operation)
    assert found == {
        "kind": "OPERATION_KILLED",
        "subject": operation,
        "message": f"the deploy of {deployment_id} was ended from outside, and nothing undone",
        "fate": "would settle",
    }
    assert await installation.status(deployment_id) == "deploying"

    done = await hydra("reconcile", "--json", *config)

    assert done.code == 0
    assert [each["fate"] for each in done.document if each["subject"] == operation] == ["settled"]
    assert await installation.status(deployment_id) == "failed"


async def test_without_restate_it_says_so(tmp_path: Path) -> None:
    file = tmp_path / "hydra.toml"
    file.write_text('database.primary = "sqlite:///nowhere.db"\nrestate.ingress_url = "http://127.0.0.1:9"\n')

    told = await hydra("reconcile", "--config", file)

    assert (told.code, told.out) == (1, "")
    assert told.err == "hydra-deploy: Restate cannot be reached: try again [RESTATE_UNAVAILABLE]\n"
