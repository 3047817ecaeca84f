"""What builds from git stand on, on this machine: a git server, a registry and a BuildKit, and something to build."""

import json
import os
import secrets
import subprocess
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from service.dev.buildkit import BuildKitMissing, BuildKitServer, require_buildkit
from service.dev.busybox import busybox_files, find_busybox
from service.dev.git_repository import GitRepository
from service.dev.git_server import GitServer
from service.dev.programs import ProgramMissing, find_program
from service.dev.registry import Account, RegistryServer

_REPOSITORY, _BRANCH = "acme/shop", "main"
_DOCKERFILE = """
COPY index.html /www/
RUN echo "packing the shop" && gzip -k /www/index.html && ls /www
CMD ["/bin/sh", "-c", "httpd -f -p 8080 -h /www"]
"""
_PAGE = "<!doctype html>\n<title>Shop</title>\n<p>Open all day.</p>\n"

_PROBE_TIMEOUT = timedelta(seconds=10)
_SOCKET_PATH_BYTES = 107  # sun_path of unix(7), without the zero at its end


@dataclass(frozen=True)
class Sample:
    """A commit that can be built: `sha` is the head of `branch`."""

    repository: str
    branch: str
    sha: str


class BuildServers:
    """The three servers of one stack, each below the stack's folder. What they hold is kept with it."""

    def __init__(self, folder: Path, git_port: int, registry_port: int) -> None:
        """Raise ProgramMissing where this machine lacks something."""
        self._git_folder = folder / "git"
        self.git = GitServer(self._git_folder)
        self.git.port = git_port
        self.registry = RegistryServer(folder / "registry", Account("hydra", secrets.token_hex(16)))
        self.registry.port = registry_port
        self.buildkit = BuildKitServer(folder / "buildkit")

    @property
    def parts(self) -> tuple[AbstractAsyncContextManager[object], ...]:
        """The servers, each to be started, in any order."""
        return self.git, self.registry, self.buildkit

    @property
    def configuration(self) -> str:
        """The tables of the configuration file that make a service build here."""
        return f"""
[registry]
url = "{self.registry.host}"
username = "{self.registry.account.username}"
password = "{self.registry.account.password}"

[build]
address = {json.dumps(self.buildkit.address)}
registry_insecure = true

[github]
allow_unauthenticated_deployments = true
clone_url = "{self.git.url}"
"""

    def folder_of(self, repository: str) -> Path:
        """Return the bare repository that is served as `owner/name`; what is pushed there can be built."""
        return self._git_folder.absolute() / f"{repository}.git"

    async def sample(self) -> Sample:
        """Return the head of the sample repository, which is made where it is not there."""
        folder = self.folder_of(_REPOSITORY)
        sha = await GitRepository(folder).find(f"refs/heads/{_BRANCH}") if folder.exists() else ""
        files = {"index.html": _PAGE, **busybox_files(_DOCKERFILE)}
        return Sample(_REPOSITORY, _BRANCH, sha or await self.git.create(_REPOSITORY, files))


def obstacle(folder: Path) -> str:
    """Say why a stack in this folder cannot build from git, and what to do; empty where it can."""
    try:
        require_buildkit()
        _require_namespaces()
        _require_short(folder)
        find_program("docker-registry", "docker-registry")
        find_busybox()
    except ProgramMissing as missing:
        return missing.message
    return ""


def _require_namespaces() -> None:
    """Make sure that root may do here what root does: in many containers it may not."""
    command: list[str | Path] = [find_program("unshare", "util-linux"), "--mount", "--pid", "--fork", "true"]
    probe = subprocess.run(  # noqa: S603 - no shell, no input
        command, capture_output=True, timeout=_PROBE_TIMEOUT.total_seconds(), check=False
    )
    if probe.returncode:
        complaint = probe.stderr.decode(errors="replace").strip()
        raise BuildKitMissing(f"BuildKit cannot run: {complaint}: take a machine or a privileged container")


def _require_short(folder: Path) -> None:
    socket = folder.absolute() / "buildkit" / "buildkitd.sock"
    if len(os.fsencode(socket)) > _SOCKET_PATH_BYTES:
        raise BuildKitMissing(f"BuildKit cannot run: {socket} is too long for a socket's path: take a shorter folder")
