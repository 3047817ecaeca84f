"""What the world outside was asked to do and did, and a trap that is sprung when it has done the next such thing."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web

from tests.chaos.crashes.registry import FakeRegistry
from tests.servers.fake_build import FakeBuild, Script, fetch, push
from tests.servers.github_faults import Faults

_CHANGES = ("POST", "PATCH", "PUT", "DELETE")
_OK = 300
EDIT = "edit"


@dataclass(eq=False)
class Trap:
    """Springs at the `number`th thing that is done from now on; its answer waits until it is let go."""

    number: int
    sprung: asyncio.Event = field(default_factory=asyncio.Event)
    let_go: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True)
class Done:
    """Something that was done, at a time of the machine's monotonic clock."""

    what: str
    at_s: float


class Outside:
    """The record of all that was done, whoever did it."""

    def __init__(self) -> None:
        self.done: list[Done] = []
        self._trap: Trap | None = None

    def set_trap(self, number: int) -> Trap:
        self._trap = Trap(number)
        return self._trap

    def clear_trap(self) -> None:
        self._trap = None

    async def happened(self, what: str) -> None:
        """Write down what was done, before the answer to whoever asked for it."""
        self.done.append(Done(what, time.monotonic()))
        trap = self._trap
        if trap is None:
            return
        trap.number -= 1
        if trap.number == 0:
            self._trap = None
            trap.sprung.set()
            await trap.let_go.wait()


class WatchedFaults(Faults):
    """No fault at all, but GitHub's part of the record: what has changed something there, or should have."""

    def __init__(self, outside: Outside) -> None:
        super().__init__()
        self._outside = outside
        self._texts: dict[int, str] = {}

    async def answer(
        self, request: web.Request, path: str, truly: Callable[[], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        response = await truly()
        if request.method in _CHANGES and response.status < _OK and not path.endswith("/access_tokens"):
            await self._outside.happened(self._described(request.method, path, response))
        return response

    def _described(self, method: str, path: str, response: web.StreamResponse) -> str:
        """Name what was done; a comment that was given another text was edited."""
        if "/comments" not in path:
            return f"{method} {path}"
        assert isinstance(response, web.Response)
        comment = json.loads(str(response.text))
        before = self._texts.get(comment["id"], comment["body"])
        self._texts[comment["id"]] = comment["body"]
        return f"{EDIT} {path}" if method == "PATCH" and comment["body"] != before else f"{method} {path}"


def builds(outside: Outside, registry: FakeRegistry) -> Script:
    """Play a build whose image really is in the registry afterwards."""

    async def script(build: FakeBuild) -> str:
        await fetch(build)
        step = build.step("[2/2] RUN make")
        step.start()
        step.log("made\n")
        await outside.happened("build runs")
        step.complete()
        await push(build)
        attrs = build.request.FrontendAttrs
        labels = {name.removeprefix("label:"): value for name, value in attrs.items() if name.startswith("label:")}
        digest = registry.push(build.image, labels)
        await outside.happened("image pushed")
        return digest

    return script
