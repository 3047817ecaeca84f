"""The Restate server of the local stack: started, stopped, killed and restarted for real."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from service.dev.ports import free_port
from service.dev.process import Process, ProcessFailed
from service.dev.restate import BINARY_VARIABLE, RestateOptions, RestateServer, find_binary
from service.errors import FailedPrecondition

COUNTER = """
import restate

counter = restate.VirtualObject("Counter")

@counter.handler()
async def add(ctx: restate.ObjectContext, number: int) -> int:
    count = (await ctx.get("count") or 0) + number
    ctx.set("count", count)
    return count

app = restate.app([counter])
"""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RestateServer]:
    server = RestateServer(tmp_path / "restate", options=RestateOptions(fsync=False))
    yield server
    await server.kill()


@pytest.fixture
async def counter(tmp_path: Path) -> AsyncIterator[int]:
    """Serve a counter that remembers in Restate, and return its port."""
    (tmp_path / "counter.py").write_text(COUNTER)
    port = free_port()
    command = ["-m", "granian", "--interface=asginl", "--http=2", "--no-ws", f"--port={port}", "counter:app"]
    environ = {"PATH": os.defpath, "PYTHONPATH": str(tmp_path)}
    process = Process.start("the counter", [sys.executable, *command], tmp_path / "counter.log", environ)

    async def listens() -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port)) == 0

    await process.wait_ready(listens, timedelta(seconds=30))
    yield port
    await process.kill()


async def post(url: str, body: Any) -> Any:
    """Call until it works, but not for long: the leaders of partitions come some 0.2 s after the health."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session:
        for _ in range(30):
            async with session.post(url, json=body) as response:
                if response.ok:
                    return await response.json()
                answer = await response.text()
            await asyncio.sleep(0.1)
    raise AssertionError(f"{url} answers {answer}")


def listening_addresses() -> set[str]:
    """Return what is listened on, IPv4 and IPv6, as the kernel writes it: address:port in hexadecimal."""
    tables = [Path("/proc/net/tcp").read_text(), Path("/proc/net/tcp6").read_text()]
    rows = [line.split() for table in tables for line in table.splitlines()]
    return {address for _, address, _, state, *_ in rows if state == "0A"}


async def test_it_starts_and_stops(server: RestateServer) -> None:
    assert not await server.healthy()

    await server.start()
    assert await server.healthy()
    assert server.pid is not None
    with pytest.raises(FailedPrecondition, match="runs already"):
        await server.start()

    await server.stop()
    assert not await server.healthy()
    assert server.pid is None
    await server.stop()


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_it_comes_back_on_its_ports_with_its_data(server: RestateServer, counter: int, end: str) -> None:
    await server.start()
    ports, pid = server.ports, server.pid
    await post(f"{server.admin_url}/deployments", {"uri": f"http://127.0.0.1:{counter}"})
    assert await post(f"{server.ingress_url}/Counter/key/add", 1) == 1

    await (server.stop() if end == "stop" else server.kill())
    await server.restart()

    assert server.ports == ports
    assert server.pid != pid
    assert await post(f"{server.ingress_url}/Counter/key/add", 1) == 2


async def test_two_run_side_by_side(tmp_path: Path, server: RestateServer) -> None:
    await server.start()
    async with RestateServer(tmp_path / "other", options=RestateOptions(fsync=False, partitions=1)) as other:
        assert await server.healthy()
        assert await other.healthy()
    assert await server.healthy()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
async def test_it_listens_on_the_loopback_interface_only(server: RestateServer) -> None:
    await server.start()
    listening = listening_addresses()
    for port in (server.ports.ingress, server.ports.admin, server.ports.node):
        mine = {address for address in listening if address.endswith(f":{port:04X}")}
        assert mine == {f"0100007F:{port:04X}"}  # 127.0.0.1


async def test_a_server_that_cannot_start_says_why_and_is_gone(tmp_path: Path) -> None:
    broken = RestateServer(tmp_path, options=RestateOptions(environ={"RESTATE_BIND_IP": "nowhere"}))

    with pytest.raises(ProcessFailed, match=r"(?s)the Restate server ended with exit code .*restate\.log"):
        await broken.start()
    assert broken.pid is None


def test_a_missing_binary_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="HYDRA_RESTATE_SERVER names /nowhere, which is not a program"):
        find_binary({BINARY_VARIABLE: "/nowhere"})
    with pytest.raises(FailedPrecondition, match="run `make setup`, or set HYDRA_RESTATE_SERVER"):
        find_binary({"PATH": str(tmp_path)}, root=tmp_path)


def test_a_binary_on_the_path_is_found(tmp_path: Path) -> None:
    binary = tmp_path / "restate-server"
    binary.write_text("#!/bin/sh\n")
    binary.chmod(0o755)

    assert find_binary({"PATH": str(tmp_path)}, root=tmp_path) == binary
