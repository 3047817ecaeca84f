"""Doors to an installation: gRPC servers of their own, each with its own locks, before the same workflows."""

import json
import os
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import aiohttp
import grpc.aio

from service.dev.ports import free_ports
from service.dev.process import Process
from service.dev.stack import LocalStack
from service.rpc.entrance import Access
from tests.integration.door.callers import connect
from tests.servers.certificates import Authority, Pair

_ROOT = Path(__file__).parents[3]
_READY_WITHIN = timedelta(seconds=60)


class Pem:
    """The files of a server that is called localhost; each is replaced at once, as careful people do it."""

    def __init__(self, folder: Path, authority: Authority, clients: Authority | None = None) -> None:
        folder.mkdir()
        self._folder = folder
        self._has_clients = clients is not None
        self.put(authority.server("localhost"))
        if clients is not None:
            self.put_clients(clients.cert)

    def put(self, pair: Pair) -> None:
        """Put a pair there; between the two files it does not fit."""
        self.put_cert(pair.cert)
        self.put_key(pair.key)

    def put_cert(self, pem: bytes) -> None:
        overwrite(self._folder / "server.crt", pem)

    def put_key(self, pem: bytes) -> None:
        overwrite(self._folder / "server.key", pem)

    def put_clients(self, pem: bytes) -> None:
        overwrite(self._folder / "clients.crt", pem)

    @property
    def files(self) -> dict[str, str]:
        """The keys of `[grpc]` that name the files."""
        names = {"tls_cert_file": "server.crt", "tls_key_file": "server.key"}
        if self._has_clients:
            names["tls_client_ca_file"] = "clients.crt"
        return {key: str(self._folder / name) for key, name in names.items()}

    @property
    def key_line(self) -> str:
        """A line of the key, by which it can be found."""
        return (self._folder / "server.key").read_text().splitlines()[1]

    @property
    def keys(self) -> str:
        """The same in TOML."""
        return "".join(f'{key} = "{path}"\n' for key, path in self.files.items())


def overwrite(path: Path, content: bytes) -> None:
    """Replace a file at once: who reads it finds the old content or the new."""
    beside = path.with_suffix(".new")
    beside.write_bytes(content)
    beside.replace(path)


class Door:
    """`serve --role grpc` with a `[grpc]` table of its own; what it lets in goes to the stack's Restate and worker."""

    def __init__(self, stack: LocalStack, name: str, grpc_table: str = "", *, host: str = "127.0.0.1") -> None:
        self.log = stack.folder / f"{name}.log"
        self._file = stack.folder / f"{name}.toml"
        self._stack = stack
        self._http_port, self.port = free_ports(2)
        self._listen = f"{host}:{self.port}"
        self._process: Process
        self._exit = AsyncExitStack()
        self.configure(grpc_table)

    def configure(self, grpc_table: str) -> None:
        """Write the configuration, which the server may be reading."""
        overwrite(self._file, self._configuration(grpc_table).encode())

    async def __aenter__(self) -> Self:
        command = (sys.executable, "-m", "service", "serve", "--role", "grpc", "--config", str(self._file))
        environ = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{_ROOT}:{_ROOT / 'gen'}"}
        self._process = Process.start("the gRPC server", command, self.log, environ)
        self._exit.push_async_callback(self._process.stop)
        try:
            await self._process.wait_ready(self._is_ready, _READY_WITHIN)
        except BaseException:
            await self._exit.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exit.aclose()

    async def channel(self, credentials: grpc.ChannelCredentials | None = None, host: str = "") -> grpc.aio.Channel:
        """Open a connection of its own to the door, which is closed with it; `host` is where to try instead."""
        target = f"{host or '127.0.0.1'}:{self.port}"
        return await self._exit.enter_async_context(connect(target, credentials))

    def events(self, *, skip: int = 0) -> list[dict[str, Any]]:
        """Read what it logged; gRPC's own lines, such as of handshakes, are not in JSON and not among them."""
        lines = self.log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")][skip:]

    def told(self, event: str, **facts: object) -> list[dict[str, Any]]:
        """Find the lines of an event that say such facts."""
        wanted = {"event": event, **facts}
        return [line for line in self.events() if wanted.items() <= line.items()]

    async def _is_ready(self) -> bool:
        timeout = aiohttp.ClientTimeout(total=5)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(f"http://127.0.0.1:{self._http_port}/health/ready") as answer,
            ):
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    def _configuration(self, grpc_table: str) -> str:
        restate = self._stack.restate
        return f"""
[database]
primary = "{self._stack.dsn}"

[restate]
admin_url = "{restate.admin_url}"
ingress_url = "{restate.ingress_url}"
http_host = "127.0.0.1"
http_port = {self._http_port}

[log]
format = "json"

[grpc]
listen = "{self._listen}"
{grpc_table}"""


def beside(health: Access = Access.AUTHENTICATED, reflection: Access = Access.AUTHENTICATED) -> str:
    """Write who may call the services beside ours, as keys of `[grpc]`."""
    return f'health = "{health}"\nreflection = "{reflection}"\n'


def only(facts: Mapping[str, Any]) -> set[str]:
    """Name what a log line holds besides what every line has."""
    return set(facts) - {"event", "level", "logger", "timestamp"}
