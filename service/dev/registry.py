"""An image registry of our own, for development and tests: Debian's, behind a user and a password."""

import ctypes
import ctypes.util
import json
import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import httpx

from service.dev.ports import free_port
from service.dev.process import Process
from service.dev.programs import SEARCH_PATH, find_program
from service.errors import FailedPrecondition

_START_TIMEOUT = timedelta(seconds=30)
_TIMEOUT_S = 10
_MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_ROUNDS = "05"  # of bcrypt, as a power of two: it is asked at every request, and guards nothing


@dataclass(frozen=True)
class StoredImage:
    """What a registry holds under a name. `config` is empty where the manifest is an index of several images."""

    digest: str
    manifest: dict[str, Any]
    config: dict[str, Any]


@dataclass(frozen=True)
class Account:
    """Who may push and pull."""

    username: str
    password: str = field(repr=False)


class RegistryServer:
    """One registry on one folder of data, with a port that is kept over restarts. It speaks HTTP on loopback."""

    def __init__(self, folder: Path, account: Account) -> None:
        """Choose program and port. Raises ProgramMissing."""
        self._binary = find_program("docker-registry", "docker-registry")
        self.folder = folder.absolute()
        self.account = account
        self.port = free_port()
        self.log = self.folder / "registry.log"
        self._process: Process | None = None

    @property
    def host(self) -> str:
        """What the names of its images begin with."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """The process id while the registry runs."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start the registry and wait until it answers: about 0.1 s. Raises ProcessFailed."""
        if self._process is not None:
            raise FailedPrecondition("the registry runs already")
        self.folder.mkdir(parents=True, exist_ok=True)
        command: list[str | Path] = [self._binary, "serve", self._configure()]
        self._process = Process.start("the registry", command, self.log, {"PATH": SEARCH_PATH})
        try:
            await self._process.wait_ready(self.healthy, _START_TIMEOUT)
        except BaseException:  # a cancelled start leaves nothing behind either
            await self.kill()
            raise

    async def stop(self) -> None:
        """Stop the registry in order; its images stay. Nothing where it does not run."""
        if self._process is not None:
            await self._process.stop()
            self._process = None

    async def kill(self) -> None:
        """End the registry at once, as a crash would; its images stay. Nothing where it does not run."""
        if self._process is not None:
            await self._process.kill()
            self._process = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def healthy(self) -> bool:
        """Tell whether the registry lets its own account in."""
        async with self._client() as client:
            try:
                return (await client.get("/v2/")).status_code == httpx.codes.OK
            except httpx.TransportError:
                return False

    async def manifest(self, name: str, reference: str) -> StoredImage | None:
        """Read an image back, by tag or digest; `name` is without the host. None where there is none."""
        async with self._client() as client:
            headers = {"Accept": ", ".join(_MANIFEST_TYPES)}
            found = await client.get(f"/v2/{name}/manifests/{reference}", headers=headers)
            if found.status_code == httpx.codes.NOT_FOUND:
                return None
            manifest = found.raise_for_status().json()
            config = {}
            if "config" in manifest:
                blob = await client.get(f"/v2/{name}/blobs/{manifest['config']['digest']}")
                config = blob.raise_for_status().json()
            return StoredImage(found.headers["Docker-Content-Digest"], manifest, config)

    def _client(self) -> httpx.AsyncClient:
        login = (self.account.username, self.account.password)
        return httpx.AsyncClient(base_url=f"http://{self.host}", auth=login, timeout=_TIMEOUT_S, trust_env=False)

    def _configure(self) -> Path:
        """Write what the registry reads. https://distribution.github.io/distribution/about/configuration/."""
        passwords = self.folder / "htpasswd"
        passwords.touch(mode=0o600)
        passwords.write_text(f"{self.account.username}:{_bcrypt(self.account.password)}\n")
        config = self.folder / "config.yml"
        options = {
            "version": "0.1",
            "log": {"level": "info"},
            "storage": {"filesystem": {"rootdirectory": str(self.folder / "images")}, "delete": {"enabled": True}},
            "http": {"addr": self.host, "secret": secrets.token_hex(16)},
            "auth": {"htpasswd": {"realm": "registry", "path": str(passwords)}},
        }
        config.touch(mode=0o600)
        config.write_text(json.dumps(options))  # which is YAML too
        return config


def _bcrypt(password: str) -> str:
    """Hash a password as the registry wants it. By the C library of the machine: Python has lost its own crypt."""
    library = ctypes.CDLL(ctypes.util.find_library("crypt") or "libcrypt.so.1")
    library.crypt.restype = ctypes.c_char_p
    hashed = library.crypt(password.encode(), f"$2b${_ROUNDS}${secrets.token_hex(11)}".encode())
    if not hashed or not hashed.startswith(b"$2b$"):
        raise FailedPrecondition("the C library of this machine knows no bcrypt, which the registry's passwords need")
    return str(hashed.decode())
