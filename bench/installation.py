"""The stack that is measured, with instances that are there before the deploy asks for them."""

import asyncio
import json
from contextlib import AsyncExitStack
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self

import aiohttp
import grpc.aio
from hydra.v1 import deploy_pb2, deploy_pb2_grpc
from restate import VirtualObject
from sqlalchemy import select

from service.database import apps, tables
from service.dev.ports import free_port
from service.dev.stack import LocalStack, StackOptions
from service.dev.world import World, WorldSpec, create_deployment, seed
from service.durable.endpoint import Address, Endpoint
from service.durable.registration import Registration
from service.rpc.ingress import Ingress, Target

IMAGE = "registry.example.com/acme/shop:1.0"
_AT_A_TIME = 64


@dataclass(frozen=True)
class Plan:
    """What to measure; an empty DSN means SQLite."""

    count: int
    burst: int
    dsn: str
    steady: bool

    def describe(self) -> str:
        database = "MySQL" if self.dsn else "SQLite"
        return f"{database}, health gate {'75 ms steady' if self.steady else 'without steadiness'}"


class BenchInstallation:
    """A stack with one world, an empty handler beside the service, and clients for both planes."""

    def __init__(self, folder: Path, plan: Plan, empty: VirtualObject) -> None:
        deploy = {} if plan.steady else {"health_steady": '"1ms"', "health_poll": '"2ms"'}
        self._stack = LocalStack(folder, StackOptions(dsn=plan.dsn, deploy=deploy))
        self._empty = empty
        self._exit = AsyncExitStack()
        self._world: World
        self._http: aiohttp.ClientSession
        self._ingress: Ingress
        self._stub: Any
        self._before = ""

    async def __aenter__(self) -> Self:
        await self._exit.enter_async_context(self._stack)
        spec = WorldSpec(quota_cpu_millicores=2**31, quota_memory_mib=2**31)
        self._world = await seed(self._stack.database, spec)
        endpoint = Endpoint([self._empty], "bench", {}, Address("127.0.0.1", port := free_port()))
        endpoint.start()
        self._exit.push_async_callback(endpoint.stop)
        await Registration(self._stack.restate.admin_url, f"http://127.0.0.1:{port}{endpoint.path}").register()
        self._http = await self._exit.enter_async_context(aiohttp.ClientSession())
        self._ingress = Ingress(self._stack.restate.ingress_url)
        self._exit.push_async_callback(self._ingress.close)
        channel = await self._exit.enter_async_context(grpc.aio.insecure_channel(self._stack.grpc_address))
        self._stub = deploy_pb2_grpc.DeployServiceStub(channel)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exit.aclose()

    async def ready_deployment(self) -> str:
        """Create a deployment whose instances run already, in every region."""
        app = self._world.app
        deployment_id = await create_deployment(self._stack.database, app.id, app.environments["production"])
        rows = [
            {
                "id": f"ins_{deployment_id}{number}",
                "deployment_id": deployment_id,
                "workspace_id": self._world.workspace_id,
                "project_id": self._world.project_id,
                "app_id": app.id,
                "region_id": region.id,
                "k8s_name": f"{deployment_id}-{number}",
                "address": f"{deployment_id}-{number}.pod:8080",
                "cpu_millicores": 256,
                "memory_mib": 256,
                "status": "running",
            }
            for number, region in enumerate(self._world.regions.values())
        ]
        await self._stack.database.transact(lambda conn: conn.execute(tables.instances.insert(), rows))
        return deployment_id

    async def call_empty(self, number: int) -> None:
        url = f"{self._stack.restate.ingress_url}/bench.Empty/k{number % 100}/run"
        async with self._http.post(url, data=b"{}", headers={"content-type": "application/json"}) as answer:
            await answer.read()

    async def deploy_over_ingress(self, deployment_id: str) -> None:
        url = f"{self._stack.restate.ingress_url}/hydra.v1.DeployService/{deployment_id}/Deploy"
        body = {"deploymentId": deployment_id, "dockerImage": {"image": IMAGE}}
        async with self._http.post(url, json=body) as answer:
            if answer.status != HTTPStatus.OK:
                raise RuntimeError(await answer.text())

    async def deploy(self, deployment_id: str) -> None:
        source = deploy_pb2.DockerImage(image=IMAGE)
        await self._stub.Deploy(deploy_pb2.DeployRequest(deployment_id=deployment_id, docker_image=source))

    async def rollback(self) -> None:
        """Roll back to the deployment that was live before: the next call goes the other way."""
        app = await self._stack.database.read(lambda conn: apps.find(conn, self._world.app.id))
        live = str(app.current_deployment_id)
        target = self._before or await self._predecessor(live)
        self._before = live
        request = deploy_pb2.RollbackRequest(source_deployment_id=live, target_deployment_id=target)
        await self._stub.Rollback(request)

    async def _predecessor(self, live: str) -> str:
        rows = await self._stack.database.read(
            lambda conn: conn.execute(
                select(tables.deployments.c.id)
                .where(tables.deployments.c.status == "ready", tables.deployments.c.id != live)
                .order_by(tables.deployments.c.created_at.desc())
                .limit(1)
            )
        )
        return str(rows.scalar_one())

    async def waves(self, deployment_id: str) -> int:
        """Count the sequential durable waves of a deploy from its journal.

        A step or a call is a wave, unless one that began before it ends after it; a call adds the steps of the
        handler that it calls.
        """
        rows = await self._query(
            "select j.id, j.index, j.entry_type, j.name, j.entry_lite_json from sys_journal j "
            "join sys_invocation i on i.id = j.id where i.target_handler_name in ('Deploy', 'SwitchTraffic') "
            f"and (i.target_service_key = '{deployment_id}' or i.invoked_by_id in "
            f"(select id from sys_invocation where target_service_key = '{deployment_id}')) order by j.id, j.index"
        )
        return sum(_waves([row for row in rows if row["id"] == found]) for found in {row["id"] for row in rows})

    async def _query(self, query: str) -> list[dict[str, Any]]:
        url = f"{self._stack.restate.admin_url}/query"
        async with self._http.post(url, json={"query": query}, headers={"accept": "application/json"}) as answer:
            rows: list[dict[str, Any]] = (await answer.json())["rows"]
            return rows

    async def burst_ours(self, calls: int) -> float:
        """Return the rate of our client, which sends and attaches as the gRPC server does."""

        async def one(number: int) -> None:
            accepted = await self._ingress.send(Target("bench.Empty", "run", f"k{number}"), b"{}", {})
            await self._ingress.wait(accepted.invocation_id)

        return await _rate(calls, one)

    async def burst_bare(self, calls: int) -> float:
        """Return the rate of bare sockets, kept open, that write prepared requests."""
        host, port = self._stack.restate.ingress_url.removeprefix("http://").split(":")
        idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

        async def one(number: int) -> None:
            reader, writer = idle.pop() if idle else await asyncio.open_connection(host, int(port))
            writer.write(
                f"POST /bench.Empty/k{number}/run HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
                "content-length: 2\r\n\r\n{}".encode()
            )
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
            await reader.readexactly(length)
            idle.append((reader, writer))

        rate = await _rate(calls, one)
        for _, writer in idle:
            writer.close()
        return rate


async def _rate(calls: int, one: Any) -> float:
    numbers = iter(range(calls))

    async def work() -> None:
        for number in numbers:
            await one(number)

    clock = asyncio.get_running_loop().time
    begun = clock()
    await asyncio.gather(*(work() for _ in range(_AT_A_TIME)))
    return calls / (clock() - begun)


def _waves(entries: list[dict[str, Any]]) -> int:
    """Count the times that an invocation waited: runs of notifications that something then followed."""
    waves, open_ids = 0, set[int]()
    for entry in entries:
        lite = json.loads(entry["entry_lite_json"])
        if entry["entry_type"] == "Command: Run":
            waves += not open_ids
            open_ids.add(lite["Command"]["Run"]["completion_id"])
        elif entry["entry_type"] == "Command: Call":
            waves += not open_ids
            open_ids.add(lite["Command"]["Call"]["result_completion_id"])
        elif entry["entry_type"].startswith("Notification"):
            open_ids.discard(lite["Notification"]["id"].get("CompletionId"))
    return waves
