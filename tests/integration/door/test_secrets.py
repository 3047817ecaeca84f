"""X3: what is told to keep to itself is in no log, no journal, no table of ours, no error and no answer."""

import base64
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

import pytest
from hydra.v1 import deploy_pb2

from service.database import tables
from service.dev import snapshot
from service.dev.ports import free_port
from service.dev.process import Process
from service.rpc.call import SERVICE
from tests.command import hydra
from tests.installation import Installation, deploy_request
from tests.integration.door.callers import DEPLOYER, LATE, OPERATOR, READER, bearer
from tests.integration.door.doors import overwrite
from tests.integration.door.scene import ADMIN_KEY, CLICKHOUSE, MISPLACED, REGISTRY, STOLEN, VARIABLES, WRONG, Scene
from tests.integration.door.scene import scene as open_scene
from tests.previews import insert_previews
from tests.servers.certificates import Authority
from tests.servers.mariadb import MariaDB
from tests.waiting import until

pytestmark = pytest.mark.xdist_group("secrets")

TO_THE_INGRESS = "hydra_sent-to-the-ingress"  # by a caller who should have known better
BRANCH = deploy_pb2.GitSource(repository="acme/shop", branch="main", installation_id=1)
COMMIT = deploy_pb2.GitSource(repository="acme/shop", commit_sha="c" * 40)


@pytest.fixture(scope="module")
async def scene(
    mariadb: MariaDB, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Scene]:
    folder = tmp_path_factory.mktemp("secrets")
    async with open_scene(folder, await mariadb.create_database(), authority) as running:
        yield running


@pytest.fixture(scope="module")
async def places(scene: Scene) -> Mapping[str, str]:
    """Tell the story of good and bad calls; gives all that was written of it, by where."""
    await call_well_and_badly(scene)
    await misconfigure(scene)
    stack = scene.house.stack
    return {
        "the worker's log": stack.worker_log.read_text() + (stack.folder / "mirrored.log").read_text(),
        "Restate's log": stack.restate.log.read_text(),
        "Restate's tables": await restate_tables(scene.house),
        "the database": await rows(scene.house),
        "what callers got": "\n".join(scene.seen),
    }


async def call_well_and_badly(scene: Scene) -> None:
    house, world = scene.house, await scene.house.world()
    image, private, public = [await house.deployment(world) for _ in range(3)]
    await house.set(tables.deployments, {"id": image}, encrypted_environment_variables=VARIABLES.encode())
    await insert_previews(house.database, await house.world(regions=("nowhere-1",), apps=()), 1, 1)
    promotion = deploy_pb2.PromoteRequest(target_deployment_id=image)
    of_git = [
        deploy_pb2.DeployRequest(deployment_id=private, git=BRANCH),
        deploy_pb2.DeployRequest(deployment_id=public, git=COMMIT),
    ]
    sweep = deploy_pb2.ScaleDownIdlePreviewDeploymentsRequest()

    assert await scene.call("Deploy", deploy_request(image), DEPLOYER.metadata) == "OK"
    for metadata in (bearer(STOLEN.text), LATE.metadata, (("authorization", OPERATOR.text),)):
        assert await scene.call("Deploy", deploy_request(image), metadata) == "UNAUTHENTICATED"
    assert await scene.call("Promote", promotion, READER.metadata) == "PERMISSION_DENIED"
    assert await scene.call("Promote", promotion, OPERATOR.metadata) == "FAILED_PRECONDITION"
    assert await scene.call("Deploy", deploy_request("no id"), OPERATOR.metadata) == "INVALID_ARGUMENT"
    for request in of_git:
        assert await scene.call("Deploy", request, DEPLOYER.metadata) == "FAILED_PRECONDITION"
    assert await scene.call("ScaleDownIdlePreviewDeployments", sweep, OPERATOR.metadata) == "UNAVAILABLE"
    careless = {"authorization": f"Bearer {TO_THE_INGRESS}"}
    await house.ingress(f"/{SERVICE}/careless/Promote", {"targetDeploymentId": "d_none"}, headers=careless)
    for probe in ("live", "ready", "startup"):
        async with house.http.get(f"{house.stack.health_url}/{probe}") as answer:
            scene.seen.append(f"{probe}: {await answer.text()} {answer.headers}")


async def misconfigure(scene: Scene) -> None:
    """Break the running server's configuration, and start servers that will not do."""
    stack = scene.house.stack
    sound = stack.config_file.read_text()
    broken = sound.replace(DEPLOYER.digest, MISPLACED)
    overwrite(stack.config_file, broken.encode())
    await until(written(stack.worker_log, "a change was not taken up"))
    overwrite(stack.config_file, sound.encode())

    wrong = stack.folder / "wrong.toml"
    wrong.write_text(broken)
    environ = {**stack.options.environ, "HYDRA_DATABASE__PRIMARY": f"robot:{WRONG}@tcp(127.0.0.1:1)/x?parseTime=true"}
    for file, given in ((wrong, stack.options.environ), (stack.config_file, environ)):
        ended = await hydra("serve", "--config", file, environ=given)
        assert ended.code != 0
        scene.seen += [ended.out, ended.err]
    await register_at_a_mirror(scene)


async def register_at_a_mirror(scene: Scene) -> None:
    """Start a worker whose Restate says back what it was shown."""
    stack, port = scene.house.stack, free_port()
    environ = {
        **stack.options.environ,
        "HYDRA_RESTATE__ADMIN_URL": f"http://{scene.mirrors['admin'].host}",
        "HYDRA_RESTATE__HTTP_PORT": str(port),
        "HYDRA_RESTATE__REGISTER_AS": f"http://127.0.0.1:{port}",
    }
    log = stack.folder / "mirrored.log"
    arguments = ("serve", "--role", "worker", "--config", stack.config_file)
    worker = Process.start("worker", (sys.executable, "-m", "service", *arguments), log, {**os.environ, **environ})
    try:
        await until(written(log, "Restate refused the registration"))
    finally:
        await worker.stop()


def written(log: Path, text: str) -> Callable[[], Awaitable[bool]]:
    async def is_written() -> bool:
        return text in log.read_text()  # noqa: ASYNC240 - a short one

    return is_written


async def restate_tables(house: Installation) -> str:
    """Read all that Restate keeps of invocations, its journal in JSON and in bytes."""
    names = ("sys_invocation", "sys_journal", "sys_journal_events", "sys_inbox", "state")
    return "\n".join([json.dumps(await house.admin_query(f"select * from {name}")) for name in names])


async def rows(house: Installation) -> str:
    """Read all tables, without the one column where an app's variables belong."""
    taken = await house.database.read(snapshot.take)
    every = [dict(row) for table in taken.values() for row in table.values()]
    return "\n".join(str(row | {"encrypted_environment_variables": None}) for row in every)


def spellings(secret: str) -> Mapping[str, str]:
    """Write a secret as it may be found: as it is, in a dump of bytes, and as a password of HTTP."""
    raw = secret.encode()
    return {
        "plain": secret,
        "hex": raw.hex(),
        "base64": _base64(raw),
        "basic": _base64(b"robot:" + raw),
    }


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode().rstrip("=")[:-1]  # the last digit depends on what follows


PLACES = ("the worker's log", "Restate's log", "Restate's tables", "the database", "what callers got")


@pytest.mark.parametrize("place", PLACES)
def test_nothing_that_is_secret_is_in(scene: Scene, places: Mapping[str, str], place: str) -> None:
    shown = {
        f"what {name} was shown": credential
        for name, mirror in scene.mirrors.items()
        for credential in mirror.credentials
    }
    found = [
        (what, how)
        for what, secret in (scene.secrets | shown).items()
        for how, text in spellings(secret).items()
        if text in places[place]
    ]

    assert found == []


def test_all_secrets_were_used(scene: Scene, places: Mapping[str, str]) -> None:  # noqa: ARG001 - after the story
    basic = base64.b64encode(f"robot:{CLICKHOUSE}".encode()).decode()
    assert scene.mirrors["clickhouse"].credentials == {basic}
    assert scene.mirrors["depot"].credentials == {REGISTRY}
    assert scene.mirrors["admin"].credentials == {ADMIN_KEY}
    (signed,) = {token.count(".") for token in scene.mirrors["github"].credentials}
    assert signed == 2  # a JSON web token


def test_the_search_finds_what_is_there(places: Mapping[str, str]) -> None:
    assert "TOKEN_UNKNOWN" in places["the worker's log"]
    assert DEPLOYER.name in places["Restate's tables"]
    assert DEPLOYER.name in places["the database"]
    assert OPERATOR.name in places["the database"]
    assert "TOKEN_EXPIRED" in places["what callers got"]
    # What a caller of the ingress shows stays in Restate's journal. Our server shows it nothing.
    assert TO_THE_INGRESS in places["Restate's tables"]
