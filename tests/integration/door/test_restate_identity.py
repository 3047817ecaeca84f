"""X2: the worker answers the Restate server that it knows by its key, and nobody else. It has one to show, too."""

import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import grpc.aio
import pytest

from service.dev.ports import free_port
from service.dev.process import Process
from service.dev.restate import RestateOptions
from service.dev.stack import LocalStack, StackPorts
from tests.command import hydra
from tests.installation import Installation, stack_options
from tests.integration.door.admin_gate import AdminGate
from tests.integration.door.identity import PEM_VARIABLE, IdentityKey
from tests.waiting import until

pytestmark = pytest.mark.xdist_group("identity")

OURS, NEXT, STRANGER = IdentityKey(), IdentityKey(), IdentityKey()
API_KEY = "key-of-the-admin-api"
INVOKE = "/invoke/hydra.v1.DeployService/Deploy"
DISCOVER = "/discover"


@pytest.fixture(scope="module")
async def gate_and_house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[AdminGate, Installation]]:
    """Run a Restate server that signs, behind a gate; the worker knows its key and the one that it will have next."""
    folder = tmp_path_factory.mktemp("signed")
    pem = OURS.write(folder / "identity.pem")
    options = stack_options(folder, "")
    ports = StackPorts.of(folder)
    ports.keep(folder)
    async with AdminGate(f"http://127.0.0.1:{ports.admin}", API_KEY) as gate:
        environ = {
            **options.environ,
            "HYDRA_RESTATE__IDENTITY_KEYS": f"{NEXT.public},{OURS.public}",
            "HYDRA_RESTATE__ADMIN_URL": gate.url,
            "HYDRA_RESTATE__API_KEY": API_KEY,
        }
        signing = RestateOptions(
            fsync=False, environ={PEM_VARIABLE: str(pem), "RESTATE_LOG_FILTER": "warn,restate_service_client=info"}
        )
        stack = LocalStack(folder, replace(options, restate=signing, environ=environ))
        async with Installation(stack) as running:
            yield gate, running


@pytest.fixture(scope="module")
def house(gate_and_house: tuple[AdminGate, Installation]) -> Installation:
    return gate_and_house[1]


@pytest.fixture(scope="module")
def gate(gate_and_house: tuple[AdminGate, Installation]) -> AdminGate:
    return gate_and_house[0]


async def endpoint(house: Installation) -> str:
    """Return where Restate calls the worker."""
    (deployment,) = await house.admin_query("select endpoint from sys_deployment")
    return str(deployment["endpoint"]).rstrip("/")


async def test_deploys_work(house: Installation) -> None:
    deployment_id = await house.deployed(await house.world())

    assert await house.status(deployment_id) == "ready"


async def test_the_server_prints_the_key_that_the_worker_is_told(house: Installation) -> None:
    log = house.stack.restate.log.read_text()

    assert f'Loaded request identity key\n    kid: "{OURS.public}"' in log


def forged(path: str) -> dict[str, dict[str, str]]:
    return {
        "unsigned": {},
        "unsigned, and says so": {"x-restate-signature-scheme": "unsigned"},
        "signed by nobody": {"x-restate-signature-scheme": "v1"},
        "signed by another": STRANGER.signed(path),
        "signed by another in its name": STRANGER.signed(path, name=OURS.public),
        "signed for another path": OURS.signed("/invoke/hydra.v1.DeployService/Promote"),
        "signed an hour ago": OURS.signed(path, age_s=3600),
        "of a scheme that there is not": {**OURS.signed(path), "x-restate-signature-scheme": "v0"},
    }


@pytest.mark.parametrize("case", forged(""))
async def test_who_is_not_our_restate_gets_nothing(house: Installation, case: str) -> None:
    base = await endpoint(house)

    async with house.http.get(base + DISCOVER, headers=forged(DISCOVER)[case]) as answer:
        assert (answer.status, await answer.read()) == (401, b"")
    async with house.http.post(base + INVOKE, headers=forged(INVOKE)[case], data=b"\0" * 100) as answer:
        assert (answer.status, await answer.read()) == (401, b"")
    assert await over_http_2(base, INVOKE, forged(INVOKE)[case]) == "Received http2 header with status: 401"


async def test_who_signs_as_our_restate_does_gets_in(house: Installation) -> None:
    """Or else those above would be refused for another reason."""
    manifest = {"accept": "application/vnd.restate.endpointmanifest.v5+json"}
    base = await endpoint(house)
    for key in (OURS, NEXT):
        async with house.http.get(base + DISCOVER, headers=key.signed(DISCOVER) | manifest) as answer:
            assert answer.status == 200
            assert "hydra.v1.DeployService" in await answer.text()
        # A message that is none: what counts is that it is looked at.
        assert await over_http_2(base, INVOKE, key.signed(INVOKE)) == "Received http2 header with status: 400"


async def over_http_2(base: str, path: str, headers: dict[str, str]) -> str:
    """Post as Restate does, over HTTP/2; says what gRPC, which can do that, makes of the answer."""
    host, _, mount = base.removeprefix("http://").partition("/")
    async with grpc.aio.insecure_channel(host) as channel:
        call: Any = channel.unary_unary(f"/{mount}{path}", None, None)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call(b"\0" * 100, metadata=tuple(headers.items()), timeout=30)
    return str(raised.value.details())


async def test_health_is_open_to_all(house: Installation) -> None:
    for probe in ("live", "ready", "startup"):
        async with house.http.get(f"{house.stack.health_url}/{probe}") as answer:
            assert answer.status == 200


@asynccontextmanager
async def another_worker(house: Installation, name: str, **environ: str) -> AsyncIterator[tuple[str, Path]]:
    """Run a worker that will not get registered; gives its health paths and its log."""
    port = free_port()
    log = house.stack.folder / f"{name}.log"
    given = {
        **{key: value for key, value in house.stack.options.environ.items() if key != "HYDRA_RESTATE__API_KEY"},
        "PATH": os.environ["PATH"],
        "HYDRA_RESTATE__HTTP_PORT": str(port),
        "HYDRA_RESTATE__REGISTER_AS": f"http://127.0.0.1:{port}",
        **environ,
    }
    command = (sys.executable, "-m", "service", "serve", "--role", "worker", "--config", house.stack.config_file)
    worker = Process.start(name, command, log, given)
    try:
        yield f"http://127.0.0.1:{port}/health", log
    finally:
        await worker.stop()


def answers(house: Installation, url: str, status: int) -> Callable[[], Awaitable[bool]]:
    async def as_expected() -> bool:
        try:
            async with house.http.get(url) as answer:
                return answer.status == status
        except aiohttp.ClientError:  # it does not listen yet
            return False

    return as_expected


async def test_a_worker_with_another_key_is_not_registered_and_says_why(house: Installation) -> None:
    known = await endpoint(house)
    environ = {"HYDRA_RESTATE__IDENTITY_KEYS": STRANGER.public, "HYDRA_RESTATE__API_KEY": API_KEY}
    async with another_worker(house, "unknown-to-restate", **environ) as (health, log):

        async def refused() -> bool:
            return log.exists() and log.read_text().count("Restate refused the registration") > 1

        await until(refused)
        await until(answers(house, f"{health}/live", 200))
        await until(answers(house, f"{health}/ready", 503))
        await until(answers(house, f"{health}/startup", 503))
        assert "401 Unauthorized" in log.read_text()
    assert await endpoint(house) == known


@pytest.mark.parametrize("key", ["", "key-of-something-else"])
async def test_a_worker_without_the_admin_api_s_key_is_not_registered(
    house: Installation, gate: AdminGate, key: str
) -> None:
    known, passed, refused_before = await endpoint(house), gate.passed, gate.refused
    assert passed > 0
    async with another_worker(house, f"without-key{key}", HYDRA_RESTATE__API_KEY=key) as (health, log):

        async def refused() -> bool:
            return gate.refused > refused_before and "Restate refused the registration" in log.read_text()

        await until(refused)
        await until(answers(house, f"{health}/ready", 503))
        assert "status=401" in log.read_text()
    assert (await endpoint(house), gate.passed) == (known, passed)


async def test_a_key_that_no_header_can_hold_is_told_and_not_shown(house: Installation) -> None:
    async with another_worker(house, "odd-key", HYDRA_RESTATE__API_KEY="schlüssel") as (health, log):

        async def told() -> bool:
            return "UnicodeEncodeError" in log.read_text()

        await until(told)
        await until(answers(house, f"{health}/ready", 503))
        assert "schl" not in log.read_text()


async def test_the_admin_api_s_key_is_in_no_log(house: Installation) -> None:
    for log in house.stack.folder.glob("*.log"):
        assert API_KEY not in log.read_text()


async def test_a_key_that_is_none_stops_the_start_in_plain_words(house: Installation) -> None:
    """One that lost some letters still looks like one."""
    environ = {"HYDRA_RESTATE__IDENTITY_KEYS": OURS.public[:-3]}
    ended = await hydra("serve", "--role", "worker", "--config", house.stack.config_file, environ=environ)

    assert (ended.code, ended.out) == (2, "")
    assert "HYDRA_RESTATE__IDENTITY_KEYS: holds" in ended.err


async def test_restate_may_change_to_the_key_that_the_worker_knows_already(house: Installation) -> None:
    NEXT.write(house.stack.folder / "identity.pem")
    await house.stack.restate.restart()

    deployment_id = await house.deployed(await house.world())

    assert await house.status(deployment_id) == "ready"
    assert NEXT.public in house.stack.restate.log.read_text()
