import re
import signal
import sys
from pathlib import Path

import pytest

from tests.command import Left, hydra, hydra_running, left, processes_of
from tests.waiting import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")


async def test_the_demo_tells_the_story_and_leaves_nothing_behind(tmp_path: Path) -> None:
    async with hydra_running("demo", environ={"TMPDIR": str(tmp_path)}) as running:
        await running.wrote("1. Deploy A")
        assert len(processes_of(tmp_path)) >= 4, "the demo itself, Restate, ClickHouse and the service"
        ended = await running.ended()

    assert (ended.code, ended.err) == (0, "")
    acts = re.split(r"^\d\. ", ended.out, flags=re.MULTILINE)[1:]
    a, b, back, c, confirmed, promoted, swept = acts
    for act in (a, b, c):
        assert re.search(r"ready in .*starting .*building .*deploying .*network .*finalizing", act)
    live = "https://shop-acme.hydra.localhost"
    assert "; A is live\n" in a
    assert re.search(rf"{live} +live", a)
    assert "; B is live\n" in b
    assert "A, which lost its traffic, went to standby after" in b
    assert "A was woken, and healthy before traffic moved; B keeps running" in back
    assert "A stays live because of the rollback, C gets no live name" in c
    assert "A is live; B goes to rest" in confirmed
    assert "C is live; A goes to rest" in promoted
    assert [re.findall(rf"{live} +(\w → \w)$", act, re.MULTILINE) for act in acts] == [
        [],
        ["A → B"],
        ["B → A"],
        [],
        [],
        ["A → C"],
        [],
    ]
    assert "looked at 2 previews in 1 page, put 1 to standby" in swept
    assert "A, which C replaced, went to standby" in swept
    assert "B, which was rolled back, went to standby" in swept
    history = re.findall(r"UTC +(\w+ +\w+(?: → \w)?)  ", ended.out)
    assert [" ".join(turn.split()) for turn in history] == [
        "promote A → C",
        "promote A",
        "deploy A",
        "rollback B → A",
        "deploy A → B",
        "deploy nothing → A",
    ]
    assert re.search(r"apps +~1 +~ current_deployment_id NULL → d_", ended.out)
    assert re.search(r"hydra_traffic_switches +\+8", ended.out)
    assert re.search(r"^done in \d+\.\d\d s; all of it is stopped and removed$", ended.out, re.MULTILINE)
    assert left(tmp_path) == Left()


async def test_without_the_engine_of_clickhouse_the_demo_says_so_and_leaves_out_the_sweep(tmp_path: Path) -> None:
    hidden, folder = tmp_path / "hidden", tmp_path / "folder"
    for made in (hidden, folder):
        made.mkdir()
    (hidden / "sitecustomize.py").write_text("import sys\nsys.modules['chdb'] = None\n")
    ended = await hydra("demo", environ={"TMPDIR": str(folder), "PYTHONPATH": str(hidden)})

    assert (ended.code, ended.err) == (0, "")
    assert "✓ Restate, SQLite and the service are up" in ended.out
    assert "left out: the engine of ClickHouse is not installed: run `make setup`" in ended.out
    assert "C is live; A goes to rest" in ended.out
    assert "B, which was rolled back, went to standby" in ended.out
    assert left(folder) == Left()


async def being_started(folder: Path) -> bool:
    return len(processes_of(folder)) > 1


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("", signal.SIGINT),
        ("are up", signal.SIGTERM),
        ("B is live", signal.SIGINT),
        ("Sweep idle previews", signal.SIGHUP),
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
