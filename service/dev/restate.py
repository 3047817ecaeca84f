"""A Restate server of our own, run from the native binary (05 · 5)."""

import os
import platform
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Self

import aiohttp

from service.dev.ports import free_ports
from service.dev.process import Process
from service.errors import FailedPrecondition

BINARY_VARIABLE = "HYDRA_RESTATE_SERVER"

_ROOT = Path(__file__).parents[2]
_ARCHITECTURES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}
_START_TIMEOUT = timedelta(seconds=30)
_PROBE_TIMEOUT = aiohttp.ClientTimeout(total=1)


def find_binary(environ: Mapping[str, str] = os.environ, root: Path = _ROOT) -> Path:
    """Find the server's binary: the one HYDRA_RESTATE_SERVER names, the project's own, or one on PATH.

    Raises FailedPrecondition.
    """
    named = environ.get(BINARY_VARIABLE)
    if named:
        if not os.access(named, os.X_OK):
            raise FailedPrecondition(f"{BINARY_VARIABLE} names {named}, which is not a program")
        return Path(named)
    architecture = _ARCHITECTURES.get(platform.machine().lower(), platform.machine())
    package = f".tools/node_modules/@restatedev/restate-server-{sys.platform}-{architecture}"
    installed = root / package / "bin" / "restate-server"
    if os.access(installed, os.X_OK):
        return installed
    on_path = shutil.which("restate-server", path=environ.get("PATH", os.defpath))
    if on_path is None:
        raise FailedPrecondition(
            f"the Restate server is not installed: run `make setup`, or set {BINARY_VARIABLE} to its binary"
        )
    return Path(on_path)


@dataclass(frozen=True)
class RestatePorts:
    """Three different loopback ports: ingress (callers), admin (operators) and node (the server's own)."""

    ingress: int
    admin: int
    node: int

    @classmethod
    def free(cls) -> Self:
        return cls(*free_ports(3))


@dataclass(frozen=True)
class RestateOptions:
    """How the server runs; `environ` goes over its environment. `fsync` is off in tests only."""

    partitions: int = 4
    fsync: bool = True
    environ: Mapping[str, str] = field(default_factory=dict)


class RestateServer:
    """One server on one folder of data and one set of ports, kept over restarts."""

    def __init__(
        self,
        base_dir: Path,
        *,
        ports: RestatePorts | None = None,
        options: RestateOptions | None = None,
        binary: Path | None = None,
    ) -> None:
        self.base_dir = base_dir
        self.ports = ports or RestatePorts.free()
        self.options = options or RestateOptions()
        self.binary = binary or find_binary()
        self.log = base_dir / "restate.log"
        self._process: Process | None = None

    @property
    def ingress_url(self) -> str:
        return f"http://127.0.0.1:{self.ports.ingress}"

    @property
    def admin_url(self) -> str:
        return f"http://127.0.0.1:{self.ports.admin}"

    @property
    def pid(self) -> int | None:
        """The process id while the server runs."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start the server and wait until ingress and admin answer: about 0.4 s. Raises ProcessFailed."""
        if self._process is not None:
            raise FailedPrecondition("the Restate server runs already")
        self.base_dir.mkdir(parents=True, exist_ok=True)
        command: list[str | Path] = [self.binary, "--no-logo"]
        self._process = Process.start("the Restate server", command, self.log, self._environ())
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

    async def restart(self) -> None:
        """Stop the server, if it runs, and start it on the same data and ports."""
        await self.stop()
        await self.start()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def healthy(self) -> bool:
        """Tell whether ingress and admin both answer that they are well."""
        urls = (f"{self.admin_url}/health", f"{self.ingress_url}/restate/health")
        try:
            async with aiohttp.ClientSession(timeout=_PROBE_TIMEOUT) as session:
                for url in urls:
                    async with session.get(url) as response:
                        if response.status != 200:  # noqa: PLR2004 - 05 · 5
                            return False
        except (aiohttp.ClientError, TimeoutError):
            return False
        return True

    def _environ(self) -> dict[str, str]:
        """Build the whole environment of the server: nothing of ours leaks into it."""
        environ = {
            "PATH": os.defpath,
            "TMPDIR": str(self.base_dir),  # where its invoker leaves a folder at each start
            "RESTATE_BASE_DIR": str(self.base_dir / "restate-data"),
            "RESTATE_NODE_NAME": "n1",
            "RESTATE_BIND_IP": "127.0.0.1",
            "RESTATE_LISTEN_MODE": "tcp",
            "RESTATE_BIND_PORT": str(self.ports.node),
            "RESTATE_INGRESS__BIND_PORT": str(self.ports.ingress),
            "RESTATE_ADMIN__BIND_PORT": str(self.ports.admin),
            "RESTATE_DEFAULT_NUM_PARTITIONS": str(self.options.partitions),
            "RESTATE_ROCKSDB_TOTAL_MEMORY_SIZE": "256MiB",
            "RESTATE_DISABLE_TELEMETRY": "true",
            "RESTATE_LOG_FILTER": "warn,octocrab=off",  # looks for a newer version, and may not get there
            "RESTATE_LOG_DISABLE_ANSI_CODES": "true",
        }
        if not self.options.fsync:
            environ["RESTATE_LOG_SERVER__ROCKSDB_DISABLE_WAL_FSYNC"] = "true"
        return environ | dict(self.options.environ)
