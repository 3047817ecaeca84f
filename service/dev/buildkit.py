"""A BuildKit daemon of our own, for development and tests."""

import asyncio
import json
import os
import secrets
import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Self

from service.dev.cgroups import remove_cgroups
from service.dev.enclosed import EnclosedProcess
from service.dev.ports import free_port
from service.dev.programs import SEARCH_PATH, ProgramMissing, find_program
from service.errors import FailedPrecondition

BINARY_VARIABLE = "HYDRA_BUILDKITD"

_ROOT = Path(__file__).parents[2]
_START_TIMEOUT = timedelta(seconds=30)


class BuildKitMissing(ProgramMissing):
    """No BuildKit can run on this machine; the message says what it lacks."""


@dataclass(frozen=True)
class ServerTls:
    """What a daemon on TCP shows and asks for, in PEM: only clients with a certificate of `ca` are let in."""

    ca: bytes
    cert: bytes
    key: bytes = field(repr=False)


def require_buildkit(environ: Mapping[str, str] = os.environ, root: Path = _ROOT) -> Path:
    """Find the daemon, and make sure that it can run here. Raises BuildKitMissing."""
    if sys.platform != "linux":
        raise BuildKitMissing("BuildKit runs on Linux only")
    binary = _find_binary(environ, root)
    if os.geteuid() != 0:
        raise BuildKitMissing("a BuildKit of our own needs root: set build.address to one that runs elsewhere")
    for program, package in (("runc", "runc"), ("git", "git"), ("unshare", "util-linux")):
        try:
            find_program(program, package)
        except ProgramMissing as missing:
            raise BuildKitMissing(f"BuildKit cannot run: {missing.message}") from None
    return binary


def _find_binary(environ: Mapping[str, str], root: Path) -> Path:
    if named := environ.get(BINARY_VARIABLE):
        if not os.access(named, os.X_OK):
            raise BuildKitMissing(f"{BINARY_VARIABLE} names {named}, which is not a program")
        return Path(named)
    installed = root / ".tools" / "bin" / "buildkitd"
    if os.access(installed, os.X_OK):
        return installed
    on_path = shutil.which("buildkitd", path=environ.get("PATH", os.defpath))
    if on_path is None:
        raise BuildKitMissing(
            f"BuildKit is not installed: run `make buildkit`, which needs Go, or set {BINARY_VARIABLE} to its daemon"
        )
    return Path(on_path)


class BuildKitServer:
    """One daemon on one folder, its cache kept over restarts.

    It listens on a socket in the folder; with `tls`, on a loopback port instead. What RUN starts uses the network of
    this machine. Registries on the loopback interface are spoken to without TLS, as BuildKit does by itself.
    """

    def __init__(self, folder: Path, tls: ServerTls | None = None) -> None:
        """Choose program and address. Raises BuildKitMissing."""
        self._binary = require_buildkit()
        self.folder = folder.absolute()
        self.log = self.folder / "buildkit.log"
        self._tls = tls
        self._socket = self.folder / "buildkitd.sock"
        self._port = free_port() if tls else 0
        self.cgroup = f"hydra-{secrets.token_hex(6)}"
        self._process: EnclosedProcess | None = None

    @property
    def address(self) -> str:
        """What `build.address` takes."""
        return f"tcp://127.0.0.1:{self._port}" if self._tls else f"unix://{self._socket}"

    @property
    def pid(self) -> int | None:
        """The id of the process that holds the namespaces, while the daemon runs."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start the daemon and wait until it listens: about 0.3 s. Raises ProcessFailed."""
        if self._process is not None:
            raise FailedPrecondition("BuildKit runs already")
        config = self._configure()
        # Enclosed, or what a RUN started would outlive the daemon, and so would its mounts.
        environ = {"PATH": SEARCH_PATH, "TMPDIR": str(self.folder / "tmp")}
        command: list[str | Path] = [self._binary, "--config", config]
        self._process = EnclosedProcess.start("BuildKit", command, self.log, environ)
        try:
            await self._process.wait_ready(self.listens, _START_TIMEOUT)
        except BaseException:  # a cancelled start leaves nothing behind either
            await self.kill()
            raise

    async def stop(self) -> None:
        """Stop the daemon in order, which lets running builds end, but not for long. Nothing where it does not run."""
        if self._process is not None:
            await self._process.stop()
            self._process = None
            await remove_cgroups(self.cgroup)

    async def kill(self) -> None:
        """End the daemon and its builds at once, as a crash would. Nothing where it does not run."""
        if self._process is not None:
            await self._process.kill()
            self._process = None
            await remove_cgroups(self.cgroup)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def listens(self) -> bool:
        """Tell whether the daemon takes connections, which it does once its worker is ready."""
        try:
            if self._tls:
                _, writer = await asyncio.open_connection("127.0.0.1", self._port)
            else:
                _, writer = await asyncio.open_unix_connection(self._socket)
        except OSError:
            return False
        writer.close()
        return True

    def _configure(self) -> Path:
        """Write what the daemon reads. https://docs.docker.com/build/buildkit/toml-configuration/."""
        for name in ("root", "tmp", "runc"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        config = self.folder / "buildkitd.toml"
        config.write_text(f"""
root = {_quoted(self.folder / "root")}

[grpc]
address = [{_quoted(self.address)}]
{self._tls_table()}

[otel]
socketPath = {_quoted(self.folder / "otel.sock")}

[cdi]
disabled = true

[worker.containerd]
enabled = false

[worker.oci]
binary = {_quoted(self._runc())}
networkMode = "host"
defaultCgroupParent = {_quoted(self.cgroup)}
""")
        return config

    def _runc(self) -> Path:
        """Write a runc that keeps its list of containers here: in the machine's, a kill would leave some behind."""
        program = self.folder / "runc.sh"
        words = [str(find_program("runc", "runc")), "--root", str(self.folder / "runc")]
        program.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        program.chmod(0o755)
        return program

    def _tls_table(self) -> str:
        if self._tls is None:
            return ""
        lines = ["[grpc.tls]"]
        for name, content in (("ca", self._tls.ca), ("cert", self._tls.cert), ("key", self._tls.key)):
            file = self.folder / f"{name}.pem"
            file.touch(mode=0o600)
            file.write_bytes(content)
            lines.append(f"{name} = {_quoted(file)}")
        return "\n".join(lines)


def _quoted(text: str | Path) -> str:
    return json.dumps(str(text))
