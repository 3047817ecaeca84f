"""Where a server without locks may listen, what it says of itself, and which of its services anybody may call."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from service.config import GrpcSettings
from service.dev.ports import free_port
from service.rpc.address import is_loopback
from service.rpc.call import SERVICE
from service.rpc.entrance import Access
from tests.command import Ended, hydra
from tests.installation import Installation
from tests.integration.door.callers import (
    DEPLOYER,
    LET_IN,
    MISSING,
    NO_SUCH_METHOD,
    OK,
    READER,
    Answer,
    ask,
    tables,
    trusting,
)
from tests.integration.door.doors import Door, Pem, beside
from tests.servers.certificates import Authority

pytestmark = pytest.mark.xdist_group("door")

DEPLOY = f"/{SERVICE}/Deploy"
HEALTH = "/grpc.health.v1.Health"
CHECK = f"{HEALTH}/Check"
REFLECTION = [f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo" for version in ("v1", "v1alpha")]
LISTING = b"\x3a\x00"  # list_services
ANYWHERE = "0.0.0.0"  # noqa: S104 - it is bound, and called over the loopback interface alone
# Linux takes all of 127.0.0.0/8 for this machine: who listens on 127.0.0.1 is not there, who listens everywhere is.
ELSEWHERE = "127.0.0.2"
LOCKS = "[[grpc.tokens]] or grpc.tls_client_ca_file"
PAIR = "grpc.tls_cert_file and grpc.tls_key_file"


async def is_there(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except ConnectionRefusedError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


def test_by_default_it_listens_on_loopback() -> None:
    assert is_loopback(GrpcSettings().listen)


@pytest.fixture(scope="module")
async def bare(house: Installation) -> AsyncIterator[Door]:
    """Put a door without any lock before the house."""
    async with Door(house.stack, "bare") as door:
        yield door


async def test_without_any_lock_it_is_on_loopback_alone_and_says_so(bare: Door) -> None:
    assert await is_there("127.0.0.1", bare.port)
    assert not await is_there(ELSEWHERE, bare.port)
    assert await ask(await bare.channel(), DEPLOY) == LET_IN

    (warning,) = bare.told("gRPC callers need not say who they are: whoever reaches the server may deploy")
    (served,) = bare.told("gRPC is served")
    assert warning["level"] == "warning"
    assert (served["listen"], served["tls"]) == (f"127.0.0.1:{bare.port}", False)


async def test_a_method_that_is_not_served_leaves_no_traceback(bare: Door) -> None:
    channel = await bare.channel()
    for path in (f"{HEALTH}/List", f"/{SERVICE}/None", "/none/None", "/none"):
        assert (await ask(channel, path)).code in ("OK", "UNIMPLEMENTED")

    assert "Traceback" not in bare.log.read_text()


async def serve(house: Installation, name: str, table: str, host: str = ANYWHERE) -> Ended:
    """Run a server that is to refuse its configuration."""
    file = house.stack.folder / f"{name}.toml"
    listen = f'[grpc]\nlisten = "{host}:{free_port()}"\n'
    file.write_text(f'[database]\nprimary = "{house.stack.dsn}"\n[restate]\nhttp_host = "127.0.0.1"\n{listen}{table}')
    return await hydra("serve", "--role", "grpc", "--config", file)


@pytest.mark.parametrize("host", [ANYWHERE, "deploy.example.com"])
async def test_elsewhere_it_does_not_start_without_locks(house: Installation, host: str) -> None:
    ended = await serve(house, "refused", "", host)

    assert (ended.code, ended.out) == (2, "")
    (fault,) = [line for line in ended.err.splitlines() if "grpc.listen" in line]
    assert f"{host}:" in fault
    assert all(key in fault for key in (PAIR, LOCKS, "grpc.insecure = true"))


async def test_elsewhere_one_lock_of_the_two_is_not_enough(house: Installation, authority: Authority) -> None:
    keys = Pem(house.stack.folder / "half", authority).keys

    assert LOCKS in (await serve(house, "without-tokens", keys)).err
    assert PAIR in (await serve(house, "in-the-clear", tables((DEPLOYER,)))).err


async def test_elsewhere_it_starts_in_the_clear_where_somebody_answers_for_it(house: Installation) -> None:
    async with Door(house.stack, "insecure", "insecure = true\n", host=ANYWHERE) as door:
        assert await ask(await door.channel(host=ELSEWHERE), DEPLOY) == LET_IN
        assert door.told("gRPC callers need not say who they are: whoever reaches the server may deploy")


async def test_elsewhere_it_starts_with_locks(house: Installation, authority: Authority) -> None:
    keys = Pem(house.stack.folder / "elsewhere", authority).keys
    async with Door(house.stack, "elsewhere", keys + tables((DEPLOYER,)), host=ANYWHERE) as door:
        channel = await door.channel(trusting(authority), ELSEWHERE)
        assert await ask(channel, DEPLOY) == MISSING
        assert await ask(channel, DEPLOY, DEPLOYER.metadata) == LET_IN


async def test_a_key_that_does_not_fit_stops_the_start(house: Installation, authority: Authority) -> None:
    pem = Pem(house.stack.folder / "unfit", authority)
    key = authority.server("localhost").key
    pem.put_key(key)

    ended = await serve(house, "unfit", pem.keys, "127.0.0.1")

    assert ended.code == 1
    assert "[CERTIFICATE_UNUSABLE]" in ended.err
    assert key.decode().splitlines()[1] not in ended.err


@pytest.mark.parametrize(
    ("access", "stranger", "known"),
    [
        (Access.OPEN, OK, OK),
        (Access.OFF, MISSING, NO_SUCH_METHOD),
    ],
)
async def test_who_may_ask_for_health_and_reflection(
    house: Installation, access: Access, stranger: Answer, known: Answer
) -> None:
    async with Door(house.stack, f"beside-{access}", beside(access, access) + tables((READER,))) as door:
        channel = await door.channel()
        for path, message in ((CHECK, b""), *((path, LISTING) for path in REFLECTION)):
            assert await ask(channel, path, (), message) == stranger
            assert await ask(channel, path, READER.metadata, message) == known
        assert await ask(channel, DEPLOY) == MISSING


async def test_strangers_who_watch_health_keep_nobody_out(house: Installation) -> None:
    """Health is open by default, and a watch lasts for as long as its client likes."""
    table = "max_waiting_calls = 1\n" + tables((DEPLOYER,))
    async with Door(house.stack, "watched", table) as door:
        strangers = [await door.channel() for _ in range(4)]
        watches: list[Any] = [
            strangers[number % len(strangers)].unary_stream(f"{HEALTH}/Watch", None, None)(b"")
            for number in range(1200)
        ]
        await asyncio.gather(*(anext(aiter(watch), None) for watch in watches), return_exceptions=True)

        assert await ask(await door.channel(), DEPLOY, DEPLOYER.metadata) == LET_IN
        assert await ask(await door.channel(), CHECK) == OK
        for watch in watches:
            watch.cancel()
