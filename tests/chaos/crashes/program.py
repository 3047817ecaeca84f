"""The worker that is to crash: the service with faults where `aim` says, forked from a process that has loaded it all.

The process reads commands, one a line: `start` forks a worker and answers its pid; `look` answers the exit code of the
last one, or `alive`. Workers die with it.
"""

import asyncio
import ctypes
import os
import signal
import sys
import time
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop
from restate.server_context import ServerInvocationContext, current_context
from sqlalchemy import Connection, Engine, event

from service import log
from service.app.serve import Role, serve
from service.config import load
from tests.chaos.crashes.aim import FOLDER, Event, Fault, Place, Post, Spot

_LOOK_S = 0.005
_SIGNAL_OF_PARENTS_DEATH = 1  # PR_SET_PDEATHSIG of prctl(2)


@dataclass
class _Action:
    """The action that a task is at; counts the commits it has come to."""

    run: str
    place: Place
    commits: int = 0


_action: ContextVar[_Action | None] = ContextVar("action", default=None)


class Marksman:
    """Notes what steps come to, and meets the faults that are aimed at them."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._turn = asyncio.Lock()
        event.listen(Engine, "commit", self._on_commit)

    async def before(self, step: str) -> None:
        aim = self._post.aim()
        if aim is None:
            return
        if aim.in_turn:
            await self._take_turn()
        action = _Action(aim.run, self._place(aim.run, step))
        _action.set(action)
        await self._come_to(action, Spot.BEFORE)
        await self._come_to(action, Spot.ASKED)
        self._note(action, "begin")
        if (found := self._fault(action, Spot.WAIT)) is not None:
            asyncio.get_running_loop().call_soon(self._strike, action, *found)

    async def after(self, _: str) -> None:
        action = _action.get()
        if action is not None:
            await self._come_to(action, Spot.AFTER)
            self._note(action, "end")

    async def _take_turn(self) -> None:
        await self._turn.acquire()
        task = asyncio.current_task()
        assert task is not None
        task.add_done_callback(lambda _: self._turn.release())

    def _place(self, run: str, step: str) -> Place:
        """Name the step: what has ended under this name is counted, so that a repeat has the number of the first."""
        ctx: Any = current_context()
        assert isinstance(ctx, ServerInvocationContext)
        place = Place(ctx.handler.service_tag.name, ctx.handler.name, ctx.invocation.key or "", step, 0)
        named = (place.service, place.handler, place.key, place.step)
        ended = (one.place for one in self._post.events(run) if one.kind == "end")
        nth = sum((one.service, one.handler, one.key, one.step) == named for one in ended)
        return Place(*named, nth)

    def _on_commit(self, _: Connection) -> None:
        action = _action.get()
        if action is None:
            return
        action.commits += 1
        self._note(action, "commit")
        if (found := self._fault(action, Spot.COMMIT, action.commits)) is not None:
            self._strike(action, *found)

    def _note(self, action: _Action, kind: str) -> None:
        self._post.note(action.run, Event(action.place, kind, time.monotonic()))

    def _fault(self, action: _Action, spot: Spot, count: int = 0) -> tuple[int, Fault] | None:
        aim = self._post.aim()
        if aim is None or aim.run != action.run:
            return None
        for number, fault in self._post.unmet(aim):
            if (fault.place, fault.spot) == (action.place, spot) and count in (0, fault.number):
                return number, fault
        return None

    async def _come_to(self, action: _Action, spot: Spot) -> None:
        found = self._fault(action, spot)
        if found is None:
            return
        number, fault = found
        self._meet(action, number, deadly=fault.deadly and spot is not Spot.ASKED)
        while not self._post.go(action.run, number).exists():
            await asyncio.sleep(_LOOK_S)

    def _strike(self, action: _Action, number: int, fault: Fault) -> None:
        """Meet a fault where nothing can be awaited: the whole process stands still while it is held."""
        self._meet(action, number, deadly=fault.deadly)
        while not self._post.go(action.run, number).exists():
            time.sleep(_LOOK_S)

    def _meet(self, action: _Action, number: int, *, deadly: bool) -> None:
        self._post.met(action.run, number).touch()
        if deadly:
            os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    config, worker_log = Path(sys.argv[1]), Path(sys.argv[2])
    pid = 0
    seen = "alive"
    for line in sys.stdin:
        if line.strip() == "start":
            pid = os.fork()
            if pid == 0:
                _serve(config, worker_log)
            seen = "alive"
            print(pid, flush=True)  # noqa: T201 - the answer
            continue
        if seen == "alive":
            ended, status = os.waitpid(pid, os.WNOHANG)
            seen = str(os.waitstatus_to_exitcode(status)) if ended else seen
        print(seen, flush=True)  # noqa: T201 - the answer


def _serve(config: Path, worker_log: Path) -> None:
    """Become a worker; does not return."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SIGNAL_OF_PARENTS_DEATH, signal.SIGKILL)
    output = os.open(worker_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, target in ((0, nothing), (1, output), (2, output)):
        os.dup2(target, number)
    post = Post(Path(os.environ[FOLDER]))
    settings = load(config, {**os.environ, **post.settings()})
    log.configure(settings.log.level, settings.log.format)

    async def run() -> None:
        await serve(settings, Role.ALL, Marksman(post))

    uvloop.run(run())
    os._exit(0)


if __name__ == "__main__":
    main()
