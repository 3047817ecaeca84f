"""Processes: roles, health paths, drain, releases, and what stops a start."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import grpc.aio
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from hydra.v1 import deploy_pb2_grpc

from service.dev.ports import free_ports
from service.dev.process import Process, ProcessFailed
from tests.installation import Installation, deploy_request
from tests.waiting import appears


@asynccontextmanager
async def another(
    installation: Installation, role: str, environ: Mapping[str, str]
) -> AsyncIterator[tuple[Process, str]]:
    """Run one more process on the installation's configuration, on ports of its own; gives it and its health URL."""
    (http_port,) = free_ports(1)
    wanted = {
        "PATH": os.environ["PATH"],
        "HYDRA_RESTATE__HTTP_PORT": str(http_port),
        "HYDRA_RESTATE__REGISTER_AS": f"http://127.0.0.1:{http_port}",
        **environ,
    }
    argv = [sys.executable, "-m", "service", "serve", "--config", str(installation.stack.config_file), "--role", role]
    process = Process.start(f"serve --role {role}", argv, installation.stack.folder / f"{role}-{http_port}.log", wanted)
    try:
        yield process, f"http://127.0.0.1:{http_port}"
    finally:
        await process.stop()


async def status_of(installation: Installation, url: str) -> int:
    async with installation.http.get(url) as answer:
        return answer.status


async def ready(installation: Installation, process: Process, url: str) -> None:
    async def probe() -> bool:
        try:
            return await status_of(installation, f"{url}/health/ready") == 200
        except OSError:
            return False

    await process.wait_ready(probe, timedelta(seconds=30))


@pytest.mark.parametrize("probe", ["live", "ready", "startup"])
async def test_health_paths_answer(installation: Installation, probe: str) -> None:
    assert await status_of(installation, f"{installation.stack.health_url}/{probe}") == 200


async def test_other_paths_and_other_releases_are_not_served(installation: Installation) -> None:
    base = installation.stack.health_url.removesuffix("/health")
    assert await status_of(installation, f"{base}/") == 404
    assert await status_of(installation, f"{base}/r/000000000000/discover") == 503


async def test_a_server_of_the_grpc_role_hands_over_to_another_worker(installation: Installation) -> None:
    world = await installation.world()
    deployment_id = await installation.deployment(world)
    (grpc_port,) = free_ports(1)
    environ = {"HYDRA_GRPC__LISTEN": f"127.0.0.1:{grpc_port}"}
    async with another(installation, "grpc", environ) as (process, url):
        await ready(installation, process, url)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
            stub: Any = deploy_pb2_grpc.DeployServiceStub(channel)
            await stub.Deploy(deploy_request(deployment_id), timeout=30)
        assert await process.stop() == 0
    assert await installation.status(deployment_id) == "ready"


async def test_a_worker_serves_the_services_that_it_is_set_to(installation: Installation) -> None:
    environ = {
        "HYDRA_RESTATE__REGISTER_AS": "",  # it is looked at, and must not take the others' invocations
        "HYDRA_SERVICES__VERSIONING": "false",
        "HYDRA_SERVICES__DEPLOYMENT": "false",
    }
    async with another(installation, "worker", environ) as (process, url):
        await ready(installation, process, url)
        log = process.log.read_text()
    assert "hydra.v1.DeployService" in log
    assert "hydra.v1.RoutingService" in log
    assert "hydra.v1.VersioningService" not in log
    assert "hydra.v1.DeploymentService" not in log
    assert "services.versioning is false: another worker of this release has to serve it" in log


@pytest.mark.parametrize("server", ["mariadb"], indirect=True, scope="session")
async def test_what_does_not_count_of_a_dsn_is_told(installation: Installation) -> None:
    dsn = f"{installation.stack.dsn}&tx_isolation='REPEATABLE-READ'"
    environ = {"HYDRA_DATABASE__PRIMARY": dsn, "HYDRA_RESTATE__REGISTER_AS": ""}
    async with another(installation, "worker", environ) as (process, url):
        await ready(installation, process, url)
        (told,) = (line for line in process.log.read_text().splitlines() if "do not count" in line)
    assert "tx_isolation" in told
    assert "REPEATABLE" not in told


async def test_a_taken_port_stops_the_start(installation: Installation) -> None:
    taken = installation.stack.settings().restate.http_port
    environ = {"HYDRA_RESTATE__HTTP_PORT": str(taken), "HYDRA_RESTATE__REGISTER_AS": ""}
    async with another(installation, "worker", environ) as (process, url):
        with pytest.raises(ProcessFailed):
            await process.wait_ready(lambda: asyncio.sleep(0.01, result=False), timedelta(seconds=30))
        assert process.exit_code not in (0, None)
        assert "Traceback" not in process.log.read_text()
        assert str(taken) in process.log.read_text()
        assert url


async def test_a_stopping_server_sends_waiting_callers_away_and_the_deploy_goes_on(installation: Installation) -> None:
    world = await installation.world()
    deployment_id = await installation.deployment(world)
    async with installation.held("await healthy regions.before") as reached:
        call = asyncio.ensure_future(installation.stub.Deploy(deploy_request(deployment_id), timeout=60))
        await appears(reached)
        os.kill(installation.stack.worker.pid, signal.SIGTERM)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    status = rpc_status.from_call(raised.value)  # type: ignore[arg-type] # an AioRpcError has what a call has
    assert status is not None
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.reason == "SERVER_DRAINING"
    while installation.stack.worker.exit_code is None:
        await asyncio.sleep(0.02)
    assert installation.stack.worker.exit_code == 0
    await installation.stack.start_worker()

    await installation.deploy(deployment_id, timeout=60)

    assert await installation.status(deployment_id) == "ready"
    stub: Any = health_pb2_grpc.HealthStub(installation.channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=10)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
