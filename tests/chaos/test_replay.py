"""The mode in which every await is a suspension and a replay: that it is one, and what a deploy leaves in it.

`make replay` runs the integration tests in it.
"""

import re
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from service.database import tables
from service.dev.stack import LocalStack
from tests.chaos.noting_service import NOTES
from tests.installation import Installation, always_replaying, stack_options
from tests.waiting import until

pytestmark = pytest.mark.xdist_group("replay")

SERVICE = Path(__file__).with_name("noting_service.py")
ATTEMPTS = re.compile(r'restate_invoker_invocation_tasks_total\{[^}]*status="(\w+)"[^}]*\} (\d+)')


@pytest.fixture(scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    folder = tmp_path_factory.mktemp("replay")
    options = always_replaying(stack_options(folder, "", {"standby_delay": '"1h"'}))
    environ = {**options.environ, NOTES: str(folder / "notes")}
    noting = replace(options, serve=(sys.executable, str(SERVICE)), environ=environ)
    async with Installation(LocalStack(folder, noting)) as running:
        yield running


async def attempts(house: Installation) -> dict[str, int]:
    """Count how attempts of invocations have begun and ended so far, by the server's own metrics."""
    async with house.http.get(f"http://127.0.0.1:{house.stack.ports.node}/metrics") as answer:
        counted = ATTEMPTS.findall(await answer.text())
    found = dict.fromkeys(("started", "suspended", "completed", "failed"), 0)
    for status, count in counted:
        found[status] += int(count)
    return found


async def quiet(house: Installation) -> None:
    """Wait until nothing is under way but what waits for its time."""

    async def is_quiet() -> bool:
        return not await house.admin_query(
            "select id from sys_invocation where status not in ('completed', 'scheduled')"
        )

    await until(is_quiet)


async def test_every_await_is_an_attempt_of_its_own_and_every_action_runs_once(house: Installation) -> None:
    """05 · 2 and 5: of a deploy that replaces another, and of all that it calls."""
    world = await house.world()
    await house.deployed(world)
    await quiet(house)
    notes = house.stack.folder / "notes"
    before, noted = await attempts(house), len(notes.read_text().splitlines())

    deployment_id = await house.deployed(world)
    await quiet(house)

    after = await attempts(house)
    made = {how: after[how] - before[how] for how in after}
    entries = await house.admin_query(
        "select name from sys_journal where entry_type = 'Command: Run' "
        f"and id in ({await family(house, deployment_id)})"
    )
    steps = [entry["name"] for entry in entries]
    assert len(steps) > 6
    # Calls are waited for as well, but the answer to one that was made long before may be there already.
    assert made["suspended"] >= len(steps)
    assert (made["started"], made["failed"]) == (made["suspended"] + made["completed"], 0)
    assert sorted(notes.read_text().splitlines()[noted:]) == sorted(steps)


async def family(house: Installation, deployment_id: str) -> str:
    """List the ids of a deploy's invocation, and of all that it called or sent, for a query."""
    ids = [await house.operation(deployment_id)]
    for id_ in ids:
        called = await house.admin_query(f"select id from sys_invocation where invoked_by_id = '{id_}'")
        ids += [row["id"] for row in called]
    return ", ".join(f"'{id_}'" for id_ in ids)


async def test_a_deploy_ends_as_ever(house: Installation) -> None:
    """The drawn ids and names are the same at each replay, or the journal would not fit the code."""
    world = await house.world()
    deployment_id = await house.deployed(world)
    await quiet(house)

    assert await house.status(deployment_id) == "ready"
    assert await house.live(world) == deployment_id
    (operation,) = await house.rows(tables.hydra_operations, deployment_id=deployment_id)
    assert operation["state"] == "succeeded"
    retried = await house.admin_query(
        f"select id from sys_invocation where id in ({await family(house, deployment_id)}) and retry_count > 1"
    )
    events = await house.admin_query("select id from sys_journal_events")
    assert (retried, events) == ([], [])
