"""Running the Go programs of tests/interop, and reading what they say they saw."""

import asyncio
import json
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.command import Running


@asynccontextmanager
async def _process(program: Path, *arguments: str, environ: Mapping[str, str] | None = None) -> AsyncIterator[Process]:
    """Run a program while the block lasts; it inherits no environment."""
    process = await asyncio.create_subprocess_exec(
        program, *arguments, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=dict(environ or {})
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


class IngressCaller:
    """A Go program that calls through Restate's ingress, one order after the other."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._orders, self._seen = process.stdin, process.stdout

    async def __call__(self, verb: str, rpc: str, request: Any = None, **order: Any) -> Any:
        """Have one thing done, and return what Go saw: `order` is the rest of the program's order."""
        wanted = {"verb": verb, "rpc": rpc, "request": request, **order}
        self._orders.write(json.dumps(wanted).encode())
        line = await self._seen.readline()
        assert line, "the program has ended"
        return json.loads(line)


@asynccontextmanager
async def ingress_caller(programs: Path, url: str) -> AsyncIterator[IngressCaller]:
    """Run a caller of an ingress while the block lasts."""
    async with _process(programs / "ingress-caller", "-url", url) as process:
        yield IngressCaller(process)


class GrpcCaller:
    """A Go program that calls over gRPC, run anew for every call. `options` are its command line's."""

    def __init__(self, programs: Path, address: str, *options: str, environ: Mapping[str, str] | None = None) -> None:
        self._program = programs / "grpc-caller"
        self._options = ("-address", address, *options)
        self._environ = environ

    async def __call__(self, rpc: str, request: Any = None, *, timeout: float = 60, **metadata: str) -> Any:
        """Call an rpc with a request in protojson, and return what Go saw. Names of metadata take _ for -."""
        sent = [f"-metadata={name.replace('_', '-')}={value}" for name, value in metadata.items()]
        return await self._seen(json.dumps(request or {}), f"-timeout={timeout}s", *sent, "call", rpc)

    async def health(self, service: str) -> Any:
        """Check a service's health, and return what Go saw."""
        return await self._seen("", "check", service)

    @asynccontextmanager
    async def watching(self, service: str) -> AsyncIterator[Running]:
        """Watch a service's health while the block lasts, or until it is not SERVING."""
        async with _process(self._program, *self._options, "watch", service, environ=self._environ) as process:
            yield Running(process)

    async def _seen(self, text: str, *arguments: str) -> Any:
        async with _process(self._program, *self._options, *arguments, environ=self._environ) as process:
            out, err = await process.communicate(text.encode())
        assert process.returncode == 0, err.decode()
        return json.loads(out)
