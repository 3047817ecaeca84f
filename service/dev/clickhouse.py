"""A ClickHouse of our own, for development and tests: the engine as a library, in a process that speaks HTTP."""

import importlib.util
import os
import secrets
import sys
from datetime import timedelta
from pathlib import Path
from typing import Self

import aiohttp

from service.dev.ports import free_port
from service.dev.process import Process
from service.errors import FailedPrecondition

KEY_VARIABLE = "HYDRA_CLICKHOUSE_KEY"  # not an argument: those are for everybody to see

ENGINE_MISSING = (
    "the engine of ClickHouse is not installed: run `make setup`, or `pip install 'hydra-deploy[embedded]'`"
)

_ENGINE = "chdb"
_START_TIMEOUT = timedelta(seconds=60)  # a large library, read from the disk at its first use
_PROBE_TIMEOUT = aiohttp.ClientTimeout(total=1)


def has_engine(module: str = _ENGINE) -> bool:
    """Tell whether the engine is installed."""
    return importlib.util.find_spec(module) is not None


def require_engine(module: str = _ENGINE) -> None:
    """Raise FailedPrecondition where the engine is not installed."""
    if not has_engine(module):
        raise FailedPrecondition(ENGINE_MISSING)


class ClickHouseServer:
    """One server on one folder of data, with a port and a password that are kept over restarts.

    It answers one question at a time. Its tables are `service.analytics.tables`' to create.
    """

    def __init__(self, folder: Path, port: int | None = None) -> None:
        require_engine()
        self.folder = folder
        self.port = port or free_port()
        self.log = folder / "clickhouse.log"
        self._password = secrets.token_hex(16)
        self._process: Process | None = None

    @property
    def url(self) -> str:
        """What `clickhouse.url` takes; it holds the password."""
        return f"http://default:{self._password}@127.0.0.1:{self.port}/default"

    @property
    def address(self) -> str:
        """Where it answers over HTTP."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """The process id while the server runs."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start the server and wait until it answers: about a second. Raises ProcessFailed."""
        if self._process is not None:
            raise FailedPrecondition("the ClickHouse server runs already")
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "service.dev.clickhouse_http",
            self.folder / "data",
            str(self.port),
        ]
        environ = {"PATH": os.environ.get("PATH", os.defpath), KEY_VARIABLE: self._password}
        self._process = Process.start("the ClickHouse server", command, self.log, environ)
        try:
            await self._process.wait_ready(self.healthy, _START_TIMEOUT)
        except BaseException:  # a cancelled start leaves nothing behind either
            await self.kill()
            raise

    async def stop(self) -> None:
        """Stop the server in order; its data stay. Nothing where it does not run."""
        if self._process is not None:
            await self._process.stop()
            self._process = None

    async def kill(self) -> None:
        """End the server at once, as a crash would; its data stay. Nothing where it does not run."""
        if self._process is not None:
            await self._process.kill()
            self._process = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def healthy(self) -> bool:
        """Tell whether the server answers."""
        try:
            async with (
                aiohttp.ClientSession(timeout=_PROBE_TIMEOUT) as session,
                session.get(f"{self.address}/ping") as answer,
            ):
                return answer.ok
        except (aiohttp.ClientError, TimeoutError):
            return False
