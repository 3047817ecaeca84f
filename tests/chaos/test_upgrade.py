"""A release whose deploys journal other steps in another order takes over while the one before it is at work."""

import asyncio
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from hydra.v1 import deploy_pb2_grpc

from service.app.doctor.checks import Level
from service.app.doctor.examine import examine
from service.app.reconciling import open_admin
from service.cli.releases import document
from service.config import load
from service.dev.ports import free_ports
from service.dev.process import Process
from service.dev.stack import LocalStack
from service.dev.world import World
from service.durable.releases import releases as list_releases
from tests.command import hydra
from tests.faulty_service import FOLDER as FAULTS
from tests.installation import IMAGE, Installation, deploy_request, stack_options
from tests.servers.mariadb import MariaDB
from tests.waiting import appears, until

pytestmark = [
    pytest.mark.xdist_group("upgrade"),
    pytest.mark.usefixtures("in_order"),
    pytest.mark.timeout(300),  # one story, with two workers to start and a second start to wait for
    pytest.mark.parametrize("server", ["mariadb"], indirect=True, scope="session"),
]

ROOT = Path(__file__).parents[2]
# Every wait of a handler is a suspension, so that what waits is seen to wait, and what goes on replays. The
# reconciler has rounds of its own, which would be in flight now and then.
ENVIRON = {"HYDRA_RESTATE__INACTIVITY_TIMEOUT": "0s", "HYDRA_SERVICES__RECONCILE": "false"}

# The next release: a step more, and the names reserved before the scheduled changes are cleared.
CHANGES = {
    "    subject = await start.start(journal, runtime, request.deployment_id)\n": (
        "    subject = await start.start(journal, runtime, request.deployment_id)\n"
        '    await journal.step("a step more", int, _a_step_more)\n'
    ),
    "    cleared = finalize.clear_scheduled_changes(journal, subject.deployment_id)\n"
    "    await network.reserve_names(journal, runtime, image, unhealthy)\n": (
        "    await network.reserve_names(journal, runtime, image, unhealthy)\n"
        "    cleared = finalize.clear_scheduled_changes(journal, subject.deployment_id)\n"
    ),
}
MORE = "\n\nasync def _a_step_more() -> int:\n    return 1\n"

# In which order a deploy journals what the releases do not agree on, between what they do.
OLD = ["start deployment", "save image", "ClearScheduledStateChanges", "reserve names", "SwitchTraffic"]
NEW = ["start deployment", "a step more", "save image", "reserve names", "ClearScheduledStateChanges", "SwitchTraffic"]

# Where deploys are held when the next release comes, the last place first.
PHASES = ("reserve names.after", "await healthy regions.before", "save image.before", "claim deployment.before")


def next_release(folder: Path) -> Path:
    """Copy the service's code, and change it; returns what goes on the path."""
    shutil.copytree(ROOT / "service", folder / "service", ignore=shutil.ignore_patterns("__pycache__"))
    file = folder / "service" / "workflow" / "deploy.py"
    code = file.read_text()
    for old, new in CHANGES.items():
        assert code.count(old) == 1, f"deploy.py has changed: adapt the next release to it ({old!r})"
        code = code.replace(old, new)
    file.write_text(code + MORE)
    return folder


@asynccontextmanager
async def taken_over(installation: Installation, folder: Path) -> AsyncIterator[str]:
    """Run the next release beside the old one until it is registered; gives the address of its gRPC server.

    No fault that befalls the old one befalls it.
    """
    http_port, grpc_port = free_ports(2)
    environ = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        **ENVIRON,
        "PYTHONPATH": os.pathsep.join([str(next_release(folder)), str(ROOT)]),
        "HYDRA_RESTATE__HTTP_PORT": str(http_port),
        "HYDRA_RESTATE__REGISTER_AS": f"http://127.0.0.1:{http_port}",
        "HYDRA_GRPC__LISTEN": f"127.0.0.1:{grpc_port}",
        FAULTS: str(folder),
    }
    argv: list[str | Path] = [
        sys.executable,
        ROOT / "tests" / "faulty_service.py",
        "--config",
        installation.stack.config_file,
    ]

    async def ready() -> bool:
        try:
            async with installation.http.get(f"http://127.0.0.1:{http_port}/health/ready") as answer:
                return answer.status == 200
        except OSError:
            return False

    process = Process.start("the next release", argv, folder / "worker.log", environ)
    try:
        await process.wait_ready(ready, timedelta(seconds=60))
        yield f"127.0.0.1:{grpc_port}"
    finally:
        await process.stop()


@pytest.fixture(scope="module")
async def upgrading(server: MariaDB, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    """Run an installation of its own: releases that are registered here are nobody else's."""
    folder = tmp_path_factory.mktemp("upgrading")
    options = stack_options(folder, await server.create_database(), environ=ENVIRON)
    async with Installation(LocalStack(folder, options)) as running:
        yield running


# -------------------------------------------------------------------------------------------------------------- to act


@dataclass
class Begun:
    """What the old release is at work on.

    `deploys` tells the deployment of each invocation. In the app `contended` one deploy is held in its switch, and
    `queued` after it. `scheduled` has not begun.
    """

    deploys: dict[str, str] = field(default_factory=dict)
    contended: str = ""
    queued: str = ""
    scheduled: str = ""


async def begin(installation: Installation, holds: AsyncExitStack) -> Begun:
    """Have deploys held in every phase, and others suspended, queued and scheduled."""
    begun = Begun()
    world = await installation.world()
    begun.contended = world.app.id

    async def deploy(of: World) -> str:
        deployment_id = await installation.deployment(of)
        begun.deploys[await send(installation, deployment_id)] = deployment_id
        return deployment_id

    switching = await holds.enter_async_context(installation.held("switch traffic.before"))
    first = await deploy(world)
    await appears(switching)
    begun.queued = await deploy(world)
    await until(lambda: is_queued(installation, begun.contended))
    again = await send(installation, first)  # waits for the other one's end, and shares it
    begun.deploys[again] = first
    await until(lambda: is_suspended(installation, again))
    for point in PHASES:
        reached = await holds.enter_async_context(installation.held(point))
        await deploy(await installation.world())
        await appears(reached)
    later = await installation.deployment(await installation.world())
    begun.scheduled = await send(installation, later, delay="1h")
    return begun


async def send(installation: Installation, deployment_id: str, delay: str = "0s") -> str:
    """Ask for a deploy, wait for nothing, and return its invocation."""
    path = f"/hydra.v1.DeployService/{deployment_id}/Deploy/send?delay={delay}"
    answer = await installation.ingress(path, {"deploymentId": deployment_id, "dockerImage": {"image": IMAGE}})
    assert answer.status == 202
    return str(answer.body["invocationId"])


async def end_too_early(installation: Installation, begun: Begun, successor: str) -> "asyncio.Future[Any]":
    """Stop the old worker as a rollout does, while a caller waits; he is sent away, and waits at the successor."""
    stub: Any = installation.stub
    waiting = asyncio.ensure_future(stub.Deploy(deploy_request(begun.queued), timeout=120))
    await until(lambda: is_waited_for(installation, begun.queued, 2))
    os.kill(installation.stack.worker.pid, signal.SIGTERM)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await waiting
    status = rpc_status.from_call(raised.value)  # type: ignore[arg-type] # an AioRpcError has what a call has
    info = error_details_pb2.ErrorInfo()
    assert status is not None
    assert status.details[0].Unpack(info)
    assert (raised.value.code(), info.reason) == (grpc.StatusCode.UNAVAILABLE, "SERVER_DRAINING")
    while installation.stack.worker.exit_code is None:
        await asyncio.sleep(0.02)
    assert installation.stack.worker.exit_code == 0
    return asyncio.ensure_future(deploy_at(successor, begun.queued))


async def deploy_at(address: str, deployment_id: str) -> None:
    """Deploy over another server than the installation's, and wait."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = deploy_pb2_grpc.DeployServiceStub(channel)
        await stub.Deploy(deploy_request(deployment_id), timeout=120)


# ------------------------------------------------------------------------------------------------------------- to look


async def releases(installation: Installation) -> list[dict[str, Any]]:
    """List releases as `hydra-deploy releases --json` does, the oldest first."""
    async with open_admin(load(installation.stack.config_file, ENVIRON)) as admin:
        return [document(each, removed=set()) for each in await list_releases(admin)]


async def faults(installation: Installation) -> list[str]:
    """Read what `hydra-deploy doctor` calls a fault."""
    found = await examine(load(installation.stack.config_file, ENVIRON))
    return [finding.found for finding in found if finding.level is Level.FAULT]


async def remove_drained(installation: Installation) -> list[dict[str, Any]]:
    """Run `hydra-deploy releases` until all is drained, and let it remove what may go."""
    options = ("--json", "--wait", "--timeout", "5m", "--remove-drained")
    ended = await hydra("releases", *options, "--config", installation.stack.config_file)
    assert ended.code == 0, ended.err
    found: list[dict[str, Any]] = ended.document
    return found


def count_of(release: dict[str, Any]) -> int:
    return sum(each["count"] for each in release["in_flight"])


async def is_queued(installation: Installation, app_id: str) -> bool:
    """Tell whether a switch waits for its turn; then it belongs to no release."""
    rows = await installation.admin_query(
        "select status, pinned_deployment_id from sys_invocation where target_handler_name = 'SwitchTraffic' "
        f"and target_service_key = '{app_id}'"
    )
    return any(row["status"] == "pending" and "pinned_deployment_id" not in row for row in rows)


async def is_suspended(installation: Installation, invocation_id: str) -> bool:
    (row,) = await installation.admin_query(f"select status from sys_invocation where id = '{invocation_id}'")
    return bool(row["status"] == "suspended")


async def is_waited_for(installation: Installation, deployment_id: str, count: int) -> bool:
    """Tell whether so many deploys of a deployment are suspended."""
    rows = await installation.admin_query(
        f"select id from sys_invocation where target_service_key = '{deployment_id}' and status = 'suspended'"
    )
    return len(rows) == count


async def order(installation: Installation, invocation_id: str) -> list[str]:
    """Read in which order a deploy journaled what the releases do not agree on."""
    entries = await installation.admin_query(
        "select name, entry_type, entry_lite_json from sys_journal "
        f"where id = '{invocation_id}' and entry_type like 'Command: %' order by index"
    )
    said = [f"{entry.get('name', '')} {entry['entry_type']} {entry.get('entry_lite_json', '')}" for entry in entries]
    return [name for text in said for name in NEW if name in text]


async def pinned_to(installation: Installation, where: str) -> Counter[str]:
    """Count invocations by the release that they belong to."""
    rows = await installation.admin_query(f"select pinned_deployment_id as release from sys_invocation where {where}")
    return Counter(row.get("release", "") for row in rows)


async def test_what_an_old_release_has_begun_it_ends_and_the_next_one_does_the_rest(
    upgrading: Installation, tmp_path: Path
) -> None:
    installation = upgrading
    (before,) = await releases(installation)
    assert (before["verdict"], before["answers"], before["in_flight"]) == ("serving", True, [])
    old = before["id"]
    holds = AsyncExitStack()
    begun = await begin(installation, holds)
    async with taken_over(installation, tmp_path) as successor:
        draining, serving = await releases(installation)
        assert (draining["id"], draining["verdict"], draining["serves"]) == (old, "draining", [])
        by_status = Counter[str]()
        for each in draining["in_flight"]:
            by_status[f"{each['handler']} {each['status']}"] += each["count"]
        # Of what is queued and scheduled nothing is its: a switch and a deploy will begin on the new one.
        assert by_status == {"Deploy suspended": 3, "Deploy running": len(PHASES), "SwitchTraffic running": 1}
        assert (serving["verdict"], serving["in_flight"], serving["serves"]) == ("serving", [], before["serves"])
        assert await faults(installation) == []

        fresh = await installation.deployment(await installation.world())
        await deploy_at(successor, fresh)
        (made,) = await installation.admin_query(
            f"select id, pinned_deployment_id from sys_invocation where target_service_key = '{fresh}' "
            "and target_handler_name = 'Deploy'"
        )
        assert (await order(installation, made["id"]), made["pinned_deployment_id"]) == (NEW, serving["id"])

        caller = await end_too_early(installation, begun, successor)
        stuck, _ = await releases(installation)
        assert (stuck["verdict"], stuck["answers"]) == ("stuck", False)
        fault = f"{count_of(stuck)} in flight on {before['uri']}, where nobody answers"
        assert fault in await faults(installation)

        await installation.stack.start_worker()
        await holds.aclose()
        await caller
        drained, _ = await remove_drained(installation)
        assert (drained["verdict"], drained["answers"], drained["removed"]) == ("drained", True, False)
        for invocation_id, deployment_id in begun.deploys.items():
            assert await installation.status(deployment_id) == "ready"
            assert await pinned_to(installation, f"id = '{invocation_id}'") == {old: 1}
        orders = [await order(installation, invocation_id) for invocation_id in begun.deploys]
        assert orders.count(OLD) == len(orders) - 1  # one of them only shared another one's end
        switches = f"target_handler_name = 'SwitchTraffic' and target_service_key = '{begun.contended}'"
        assert await pinned_to(installation, switches) == {old: 1, serving["id"]: 1}

        await installation.stack.stop_worker()
        removed, left = await remove_drained(installation)
        assert (removed["id"], removed["verdict"], removed["removed"]) == (old, "drained", True)
        assert (left["verdict"], left["serves"], left["removed"]) == ("serving", before["serves"], False)
        await deploy_at(successor, await installation.deployment(await installation.world()))
        answer = await installation.ingress(f"/restate/invocation/{next(iter(begun.deploys))}/output", method="GET")
        assert answer.status == 200
        assert await pinned_to(installation, f"id = '{begun.scheduled}'") == {"": 1}
