import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from service.dev.build_servers import obstacle
from tests.command import Left, hydra, hydra_running, left, processes_of
from tests.waiting import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")


PHASES = ["starting", "building", "deploying", "network", "finalizing"]
WITHOUT_BUILDKIT = {"HYDRA_BUILDKITD": "/nowhere"}
NO_BUILDS = obstacle(Path())
where_builds_run = pytest.mark.skipif(bool(NO_BUILDS) and not os.environ.get("CI"), reason=NO_BUILDS)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Make a temporary folder with a short name: BuildKit's socket is in it, and the kernel takes 107 bytes."""
    with TemporaryDirectory(prefix="demo-") as name:
        yield Path(name)


@where_builds_run
async def test_the_demo_tells_the_story_and_leaves_nothing_behind(folder: Path) -> None:
    async with hydra_running("demo", environ={"TMPDIR": str(folder)}) as running:
        await running.wrote("1. Build and deploy A")
        assert len(processes_of(folder)) >= 6, (
            "the demo itself, Restate, ClickHouse, registry, BuildKit and the service"
        )
        ended = await running.ended()

    assert (ended.code, ended.err) == (0, "")
    acts = re.split(r"^\d\. ", ended.out, flags=re.MULTILINE)[1:]
    a, b, back, c, confirmed, promoted, swept = acts
    assert re.match(r"Build and deploy A: acme/shop, branch main, commit [0-9a-f]{7} to production, deployment d_", a)
    assert re.findall(r"^  ✓ (\w+) +[\d.]+ m?s", a, re.MULTILINE) == PHASES
    assert re.search(r"^#\d ✓ \[1/3\] COPY busybox /bin/sh   [\d.]+ m?s$", a, re.MULTILINE)
    assert re.search(r"^#\d \| index\.html\.gz$", a, re.MULTILINE)
    assert re.search(r"✓ pushed 127\.0\.0\.1:\d+/builds:\w+-d_\w+, 3 layers, \d+ KiB\n +sha256:[0-9a-f]{64}\n", a)
    for act in (b, c):
        assert re.search(f"ready in .*{'.*'.join(PHASES)}", act)
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
    assert left(folder) == Left()


async def test_what_is_not_on_this_machine_is_named_and_left_out(folder: Path, tmp_path: Path) -> None:
    ended = await hydra("demo", environ={"TMPDIR": str(folder), **without_clickhouse(tmp_path), **WITHOUT_BUILDKIT})

    assert (ended.code, ended.err) == (0, "")
    assert "✓ Restate, SQLite and the service are up" in ended.out
    assert (
        "not built from git, so A is a ready image as well: HYDRA_BUILDKITD names /nowhere, which is not a program\n"
        in ended.out
    )
    assert re.search(rf"^1\. Deploy A.*\n  ✓ ready in .*{'.*'.join(PHASES)}.*; A is live$", ended.out, re.MULTILINE)
    assert "left out: the engine of ClickHouse is not installed: run `make setup`" in ended.out
    assert "C is live; A goes to rest" in ended.out
    assert "B, which was rolled back, went to standby" in ended.out
    assert left(folder) == Left()


@where_builds_run
async def test_without_the_engine_of_clickhouse_an_image_is_built_all_the_same(folder: Path, tmp_path: Path) -> None:
    async with hydra_running("demo", environ={"TMPDIR": str(folder), **without_clickhouse(tmp_path)}) as running:
        told = await running.wrote("A is live")
        running.interrupt()
        ended = await running.ended()

    assert "the build's steps are left out: the engine of ClickHouse is not installed" in told
    assert "✓ pushed 127.0.0.1:" in told
    assert (ended.code, ended.err) == (130, "")
    assert left(folder) == Left()


def without_clickhouse(folder: Path) -> dict[str, str]:
    """Hide the engine from Python."""
    (folder / "sitecustomize.py").write_text("import sys\nsys.modules['chdb'] = None\n")
    return {"PYTHONPATH": str(folder)}


async def being_started(folder: Path) -> bool:
    return len(processes_of(folder)) > 1


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("", signal.SIGINT),
        ("are up", signal.SIGTERM),
        pytest.param("✓ starting", signal.SIGINT, marks=where_builds_run, id="in the build"),
        ("B is live", signal.SIGINT),
        ("Sweep idle previews", signal.SIGHUP),
    ],
)
async def test_an_interrupted_demo_leaves_nothing_behind(folder: Path, moment: str, number: signal.Signals) -> None:
    async with hydra_running("demo", environ={"TMPDIR": str(folder)}) as running:
        if moment:
            await running.wrote(moment)
        else:
            await until(lambda: being_started(folder))
        running.interrupt(number)
        running.interrupt(number)  # an impatient person
        ended = await running.ended()

    assert (ended.code, ended.err) == (128 + number, "")
    assert ended.out.endswith("interrupted; all of it is stopped and removed\n")
    assert left(folder) == Left()
