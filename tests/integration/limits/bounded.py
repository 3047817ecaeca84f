"""A gRPC server of its own before an installation, with limits of its own, and what it holds at a moment."""

import asyncio
import os
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Self

from grpc_health.v1 import health_pb2, health_pb2_grpc

from service.dev.ports import free_ports
from service.dev.process import Process
from service.dev.stack import LocalStack
from tests.integration.limits.caller import Caller

_ROOT = Path(__file__).parents[3]
_CLIENT = Path(__file__).with_name("waiting_client.py")
_READY_WITHIN = timedelta(seconds=60)
_ESTABLISHED = "01"  # proc(5)


class BoundedServer:
    """`serve --role grpc` on the stack's configuration, with other `[grpc]` keys; `environ` goes on top.

    `floor_bytes` is what it had in memory before anybody called.
    """

    def __init__(self, stack: LocalStack, keys: Mapping[str, object], environ: Mapping[str, str] | None = None) -> None:
        http_port, self.port = free_ports(2)
        self.address = f"127.0.0.1:{self.port}"
        self._stack = stack
        self._environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{_ROOT}:{_ROOT / 'gen'}",
            "HYDRA_RESTATE__HTTP_PORT": str(http_port),
            "HYDRA_GRPC__LISTEN": self.address,
            **{f"HYDRA_GRPC__{key.upper()}": str(value) for key, value in keys.items()},
            **(environ or {}),
        }
        self.process: Process
        self.floor_bytes = 0

    async def __aenter__(self) -> Self:
        command = (sys.executable, "-m", "service", "serve", "--role", "grpc", "--config", self._stack.config_file)
        log = self._stack.folder / f"grpc-{self.port}.log"
        self.process = Process.start("the gRPC server", command, log, self._environ)
        try:
            await self.process.wait_ready(self._answers, _READY_WITHIN)
        except BaseException:
            await self.process.kill()
            raise
        self.floor_bytes = self.memory_bytes()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.process.stop()

    def caller(self) -> Caller:
        return Caller(self.address)

    async def health(self) -> str:
        """Ask for the health over a connection of its own."""
        async with self.caller() as caller:
            stub = health_pb2_grpc.HealthStub(caller.channel)
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=30)
            return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))

    async def client(self, deployment_id: str, count: int) -> asyncio.subprocess.Process:
        """Start a client in a process of its own, and return once its calls wait."""
        command = (sys.executable, str(_CLIENT), self.address, deployment_id, str(count))
        client = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        assert client.stdout is not None
        assert await client.stdout.readline() == b"waiting\n"
        return client

    def memory_bytes(self, *, highest: bool = False) -> int:
        """Read what the process has in memory, or the most that it ever had."""
        wanted = "VmHWM:" if highest else "VmRSS:"
        lines = self._proc("status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(wanted))

    def descriptors(self) -> int:
        return len(list(self._proc("fd").iterdir()))

    def connections_to(self, port: int) -> int:
        """Count the process's established connections to a port of this machine."""
        own = set()
        for descriptor in self._proc("fd").iterdir():
            try:
                own.add(descriptor.readlink().name)
            except FileNotFoundError:  # closed meanwhile
                continue
        rows = [line.split() for line in self._proc("net/tcp").read_text().splitlines()[1:]]
        remote = f":{port:04X}"
        return sum(row[2].endswith(remote) and row[3] == _ESTABLISHED and f"socket:[{row[9]}]" in own for row in rows)

    def _proc(self, name: str) -> Path:
        return Path(f"/proc/{self.process.pid}/{name}")

    async def _answers(self) -> bool:
        return "gRPC is served" in self.process.log.read_text()
