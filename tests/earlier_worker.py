"""A worker of the same contract that is not ours, in Go: tests/interop/go/cmd/worker says what it does."""

import asyncio
import json
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from service.dev.ports import free_port
from service.dev.process import Process
from tests.installation import Installation
from tests.waiting import until

SERVICES = ("deploy", "deployment", "routing", "versioning", "github_status", "openapi")

_READY_WITHIN = timedelta(seconds=30)


@dataclass(frozen=True)
class Note:
    """What the worker wrote down: a call that it `got`, an answer that it `heard`, or that it `waits` to be told.

    `handler` is spelled `hydra.v1.RoutingService/AssignFrontlineRoutes`. `message` is protojson with every field.
    """

    event: str
    handler: str
    key: str
    message: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    code: int = 0


class EarlierWorker:
    """One process, with some of the services under the keys of our `[services]`."""

    def __init__(self, programs: Path, folder: Path, services: Collection[str] = SERVICES) -> None:
        self._program = programs / "worker"
        self._folder = folder
        self._services = services
        self._process: Process | None = None
        self._address = f"127.0.0.1:{free_port()}"
        self._notes = folder / "notes.jsonl"
        self.uri = f"http://{self._address}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start it and wait until it listens. It registers nothing."""
        self._folder.mkdir(parents=True, exist_ok=True)
        given = {
            "-listen": self._address,
            "-services": ",".join(self._services),
            "-notes": str(self._notes),
            "-plans": str(self._folder),
        }
        arguments = [part for pair in given.items() for part in pair]
        log = self._folder / "worker.log"
        self._process = Process.start("the earlier worker", [self._program, *arguments], log, {"PATH": os.defpath})
        await self._process.wait_ready(self._listens, _READY_WITHIN)

    async def stop(self) -> None:
        """Stop it; nothing where it does not run."""
        if self._process is not None:
            await self._process.stop()
            self._process = None

    async def register(self, installation: Installation, *, force: bool = False) -> None:
        """Tell Restate where it is, with `force` even if that is known."""
        await _register(installation, self.uri, force=force)

    def plan(self, deployment_id: str, facts: Mapping[str, Any]) -> None:
        """Say what rows would tell it of a deployment: `plan.go` lists the facts."""
        (self._folder / f"{deployment_id}.json").write_text(json.dumps(facts))

    def notes(self, event: str, handler: str, key: str | None = None) -> list[Note]:
        """Read its notes in order; `handler` without the package, `key` None for any."""
        lines = self._notes.read_text().splitlines() if self._notes.exists() else []
        read = [Note(**json.loads(line)) for line in lines]
        wanted = f"hydra.v1.{handler}"
        return [note for note in read if (note.event, note.handler) == (event, wanted) and key in (None, note.key)]

    async def noted(self, event: str, handler: str, key: str | None = None, count: int = 1) -> list[Note]:
        """Wait until there are `count` notes, and read them."""

        async def written() -> bool:
            return len(self.notes(event, handler, key)) >= count

        await until(written)
        return self.notes(event, handler, key)

    async def _listens(self) -> bool:
        host, _, port = self._address.partition(":")
        try:
            _, writer = await asyncio.open_connection(host, int(port))
        except OSError:
            return False
        writer.close()
        await writer.wait_closed()
        return True


def our_uri(installation: Installation) -> str:
    """Find in its log what our worker is to be registered as."""
    path = re.findall(r"/r/[0-9a-f]{12}", installation.stack.worker_log.read_text())[-1]
    return f"http://127.0.0.1:{installation.stack.ports.http}{path}"


async def register_ours(installation: Installation, *, force: bool = False) -> None:
    """Tell Restate where our worker is, by hand."""
    await _register(installation, our_uri(installation), force=force)


async def _register(installation: Installation, uri: str, *, force: bool) -> None:
    url = f"{installation.stack.restate.admin_url}/deployments"
    async with installation.http.post(url, json={"uri": uri, "force": force}) as answer:
        assert answer.ok, await answer.text()
