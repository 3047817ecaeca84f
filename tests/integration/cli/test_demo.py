import re
import signal
import sys
from pathlib import Path

import pytest

from tests.command import Left, hydra_running, left, processes_of
from tests.waiting import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")


async def test_the_demo_deploys_twice_and_leaves_nothing_behind(tmp_path: Path) -> None:
    async with hydra_running("demo", environ={"TMPDIR": str(tmp_path)}) as running:
        await running.wrote("1. Deploy")
        assert len(processes_of(tmp_path)) >= 3, "the demo itself, Restate and the service"
        ended = await running.ended()

    assert (ended.code, ended.err) == (0, "")
    assert re.findall(r"✓ (starting|building|deploying|network|finalizing) +\d", ended.out) == 2 * [
        "starting",
        "building",
        "deploying",
        "network",
        "finalizing",
    ]
    first, second = re.findall(r"deployment (d_\w+)", ended.out)
    assert re.search(rf"https://shop-acme\.hydra\.localhost +{first} → {second}", ended.out)
    assert re.search(rf"apps +~1 +~ current_deployment_id NULL → {first}", ended.out)
    assert re.search(rf"apps +~1 +~ current_deployment_id {first} → {second}", ended.out)
    assert re.search(rf"{first}, which lost its traffic, went to standby after", ended.out)
    assert re.search(r"^done in \d+\.\d\d s; all of it is stopped and removed$", ended.out, re.MULTILINE)
    assert left(tmp_path) == Left()


async def being_started(folder: Path) -> bool:
    return len(processes_of(folder)) > 1


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("", signal.SIGINT),
        ("are up", signal.SIGTERM),
        ("✓ building", signal.SIGINT),
        ("Traffic that moved", signal.SIGHUP),
    ],
)
async def test_an_interrupted_demo_leaves_nothing_behind(tmp_path: Path, moment: str, number: signal.Signals) -> None:
    async with hydra_running("demo", environ={"TMPDIR": str(tmp_path)}) as running:
        if moment:
            await running.wrote(moment)
        else:
            await until(lambda: being_started(tmp_path))
        running.interrupt(number)
        running.interrupt(number)  # an impatient person
        ended = await running.ended()

    assert (ended.code, ended.err) == (128 + number, "")
    assert ended.out.endswith("interrupted; all of it is stopped and removed\n")
    assert left(tmp_path) == Left()
