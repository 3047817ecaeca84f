import ast
import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from service import background

AT_ONCE = timedelta()
FOR_HOURS = timedelta(hours=1)
SERVICE = Path(__file__).parents[2] / "service"


@pytest.fixture
def logs() -> Iterator[list[Any]]:
    with capture_logs() as lines:
        yield lines


class Broken(Exception):
    pass


class Work:
    """Does in turn what it is told: raises an error, returns for None, and goes on for ever after the last."""

    def __init__(self, *ends: BaseException | None) -> None:
        self.ends = list(ends)
        self.begun = 0
        self.lasts = asyncio.Event()

    async def __call__(self) -> None:
        self.begun += 1
        await asyncio.sleep(0)
        if not self.ends:
            self.lasts.set()
            await asyncio.Event().wait()
        elif (end := self.ends.pop(0)) is not None:
            raise end


def told(logs: list[Any]) -> list[tuple[str, str]]:
    return [(line["log_level"], line["task"]) for line in logs]


async def test_what_has_no_end_is_begun_again_whatever_ends_it(logs: list[Any]) -> None:
    work = Work(Broken(), None, asyncio.CancelledError(), KeyError("a"))
    task = background.forever("asking", work, AT_ONCE)
    await work.lasts.wait()

    assert work.begun == 5
    assert told(logs) == [("error", "asking")] * 4
    assert [line.get("exc_info", False) for line in logs] == [True, False, False, True]
    await background.end(task)
    assert task.cancelled()


async def test_what_fails_is_begun_again_until_it_is_done(logs: list[Any]) -> None:
    work = Work(Broken(), None, Broken())
    task = background.until_done("registering", work, AT_ONCE)
    await task

    assert work.begun == 2
    assert told(logs) == [("error", "registering")]


async def test_what_can_be_done_once_says_so_and_keeps_its_error(logs: list[Any]) -> None:
    work = Work(Broken())
    task = background.once("serving", work)
    await asyncio.wait([task])

    assert told(logs) == [("error", "serving")]
    with pytest.raises(Broken):
        task.result()


async def test_it_is_told_who_is_missed(logs: list[Any]) -> None:
    task = background.forever("asking", Work(Broken()), FOR_HOURS)
    await asyncio.sleep(0.01)
    (line,) = logs
    assert line["event"] == "a background task failed"
    assert task.get_name() == "asking"
    await background.end(task)  # in the middle of the pause


@pytest.mark.parametrize("start", [background.forever, background.until_done, background.once])
async def test_a_cancellation_ends_it_at_once_and_is_no_trouble(start: Any, logs: list[Any]) -> None:
    work = Work()
    task = start("asking", work)
    await work.lasts.wait()
    async with asyncio.timeout(10):
        await background.end(task)
    assert task.cancelled()
    assert work.begun == 1
    assert logs == []


@pytest.mark.parametrize("start", [background.forever, background.until_done])
async def test_work_that_makes_something_else_of_its_cancellation_ends_all_the_same(start: Any) -> None:
    """Drivers do: of a cancelled statement one makes an error of the connection."""
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise Broken from None

    task = start("asking", work, AT_ONCE)
    await begun.wait()
    async with asyncio.timeout(10):
        await background.end(task)
    assert task.cancelled()


async def test_work_that_hides_its_cancellation_ends_all_the_same() -> None:
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return

    task = background.forever("asking", work, AT_ONCE)
    await begun.wait()
    async with asyncio.timeout(10):
        await background.end(task)


# ------------------------------------------------------------------------------------------- no others are started

# Where a task is begun that somebody awaits until its end, or that its caller gives up together with its work.
AWAITED = {
    "app/serve.py: serve",  # the process's own end, of whichever comes first
    "build/buildkit/client.py: build",
    "build/buildkit/dockerd.py: _carry",
    "build/buildkit/tunnel.py: __init__",  # `end` is what every user of a tunnel waits for
    "build/buildkit/tunnel.py: opened",
    "build/buildkit/tunnel.py: _carry",
    "build/depot/depot.py: _created",
    "build/depot/ending.py: to_its_end",
    "cli/attendance.py: attend",
    "cli/interrupt.py: _supervised",
    "cli/rollout.py: run",
    "github/tokens.py: get",  # all who want that token wait for it
    "rpc/drain.py: unless_draining",
    "rpc/intake.py: _message",
}


class Starts(ast.NodeVisitor):
    """Finds the functions that begin a task themselves."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self._within: list[str] = []

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._within.append(node.name)
        self.generic_visit(node)
        self._within.pop()

    visit_FunctionDef = visit_AsyncFunctionDef = _function  # noqa: N815 - the names that ast asks for

    def visit_Call(self, node: ast.Call) -> None:
        called = ast.unparse(node.func)
        # A TaskGroup, which has a name of its own here, waits for its tasks.
        if called.rpartition(".")[2] == "ensure_future" or called.endswith(
            ("asyncio.create_task", "loop().create_task")
        ):
            self.found.append(self._within[-1])
        self.generic_visit(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.module == "asyncio":
            self.found += [name.name for name in node.names if name.name in ("create_task", "ensure_future")]


def test_every_long_lived_task_is_watched() -> None:
    """A task of its own that dies takes its exception along, and nobody hears of it."""
    found = set()
    for path in SERVICE.rglob("*.py"):
        starts = Starts()
        starts.visit(ast.parse(path.read_text()))
        found |= {f"{path.relative_to(SERVICE)}: {function}" for function in starts.found}

    assert found - AWAITED == {"background.py: _begin"}, "use service.background"
    assert found >= AWAITED, "no longer there: take it out of the list"
