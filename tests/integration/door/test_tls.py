"""Who speaks to whom: the server's certificate, the clients' certificates, and both with tokens."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress

import grpc.aio
import pytest
from hydra.v1 import deploy_pb2_grpc

from service.database import tables
from service.rpc.call import SERVICE
from tests.installation import Installation, deploy_request
from tests.integration.door.callers import (
    DEPLOYER,
    LET_IN,
    MISSING,
    NO_CONNECTION,
    OK,
    OPERATOR,
    Metadata,
    ask,
    trusting,
)
from tests.integration.door.callers import tables as token_tables
from tests.integration.door.doors import Door, Pem
from tests.servers.certificates import Authority, Pair

pytestmark = pytest.mark.xdist_group("door")

DEPLOY = f"/{SERVICE}/Deploy"
CLAIM = ("x-hydra-caller", "somebody else")


@pytest.fixture(scope="module")
def clients() -> Authority:
    return Authority("clients")


@pytest.fixture(scope="module")
async def mutual(house: Installation, authority: Authority, clients: Authority) -> AsyncIterator[Door]:
    """Put a door before the house that wants a client's certificate, and no token."""
    async with Door(house.stack, "mutual", Pem(house.stack.folder / "mutual", authority, clients).keys) as door:
        yield door


@pytest.fixture(scope="module")
async def double(house: Installation, authority: Authority, clients: Authority) -> AsyncIterator[Door]:
    """Put a door before the house that wants both."""
    keys = Pem(house.stack.folder / "double", authority, clients).keys
    async with Door(house.stack, "double", keys + token_tables((DEPLOYER,))) as door:
        yield door


async def test_who_trusts_the_authority_gets_in(locked: Door, authority: Authority) -> None:
    assert await ask(await locked.channel(trusting(authority)), DEPLOY, DEPLOYER.metadata) == LET_IN


async def test_who_speaks_in_the_clear_gets_no_answer(locked: Door) -> None:
    assert await ask(await locked.channel(), DEPLOY, DEPLOYER.metadata) == NO_CONNECTION


async def test_a_client_of_another_authority_keeps_away(locked: Door) -> None:
    channel = await locked.channel(trusting(Authority("another")))

    with pytest.raises(grpc.aio.AioRpcError, match="CERTIFICATE_VERIFY_FAILED"):
        await channel.unary_unary(DEPLOY, None, None)(b"", metadata=DEPLOYER.metadata, timeout=30)


async def test_the_protocol_is_http_2_over_tls_1_3(locked: Door, authority: Authority) -> None:
    assert await spoken(locked, authority, "http/1.1", "h2") == ("h2", "TLSv1.3")
    assert await spoken(locked, authority, "http/1.1") == (None, "TLSv1.3")  # and then the connection is closed


async def spoken(door: Door, authority: Authority, *offered: str) -> tuple[str | None, str | None]:
    context = ssl.create_default_context(cadata=authority.cert.decode())
    context.set_alpn_protocols(offered)
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port, ssl=context, server_hostname="localhost")
    tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
    found = tls.selected_alpn_protocol(), tls.version()
    if found[0] is None:
        assert await reader.read() == b""
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return found


async def test_a_client_s_certificate_is_enough_where_no_token_is_asked_for(
    mutual: Door, authority: Authority, clients: Authority
) -> None:
    channel = await mutual.channel(trusting(authority, clients.client("robot")))

    assert await ask(channel, DEPLOY) == LET_IN
    assert await ask(channel, f"/{SERVICE}/Promote") == LET_IN
    assert await ask(channel, "/grpc.health.v1.Health/Check") == OK


def strangers(clients: Authority) -> dict[str, Pair | None]:
    return {
        "none": None,
        "of another authority": Authority("another").client("robot"),
        "of another authority of the same name": Authority("clients").client("robot"),
        "a server's": clients.server("robot"),
    }


@pytest.mark.parametrize("case", strangers(Authority()))
@pytest.mark.parametrize("metadata", [(), DEPLOYER.metadata], ids=["no token", "a good token"])
async def test_a_client_without_a_good_certificate_is_refused(
    double: Door, authority: Authority, clients: Authority, case: str, metadata: Metadata
) -> None:
    channel = await double.channel(trusting(authority, strangers(clients)[case]))

    assert await ask(channel, DEPLOY, metadata) == NO_CONNECTION
    assert await ask(channel, "/grpc.health.v1.Health/Check", metadata) == NO_CONNECTION


async def test_one_without_any_is_refused_where_it_would_be_enough(mutual: Door, authority: Authority) -> None:
    assert await ask(await mutual.channel(trusting(authority)), DEPLOY) == NO_CONNECTION


async def test_a_certificate_does_not_make_up_for_a_token(
    double: Door, authority: Authority, clients: Authority
) -> None:
    channel = await double.channel(trusting(authority, clients.client("robot")))

    assert await ask(channel, DEPLOY) == MISSING
    assert await ask(channel, DEPLOY, DEPLOYER.metadata) == LET_IN


@pytest.mark.parametrize("which", ["open", "certificate", "token", "both"])
async def test_the_caller_on_record_is_who_was_authenticated(
    house: Installation, authority: Authority, clients: Authority, request: pytest.FixtureRequest, which: str
) -> None:
    trusted = trusting(authority, clients.client("robot.example.com"))
    ways = {
        "open": ("", (), "somebody else"),
        "certificate": ("mutual", (), "robot.example.com"),
        "token": ("locked", OPERATOR.metadata, OPERATOR.name),
        "both": ("double", DEPLOYER.metadata, DEPLOYER.name),
    }
    name, metadata, caller = ways[which]
    channel = await request.getfixturevalue(name).channel(trusted) if name else house.channel
    deployment_id = await house.deployment(await house.world())

    stub = deploy_pb2_grpc.DeployServiceStub(channel)
    await stub.Deploy(deploy_request(deployment_id), timeout=60, metadata=(CLAIM, *metadata))

    assert (await house.row(tables.hydra_operations, deployment_id=deployment_id))["caller"] == caller


async def test_the_log_says_who_has_to_say_what(mutual: Door, double: Door, locked: Door) -> None:
    said = "gRPC callers have to say who they are"
    for door, by in (
        (mutual, ["client certificates"]),
        (locked, ["tokens"]),
        (double, ["tokens", "client certificates"]),
    ):
        assert len(door.told(said, by=by)) == 1
        assert door.told("gRPC is served")[0]["tls"] is True


async def test_a_health_check_that_is_open_to_all_still_needs_the_certificate(
    double: Door, authority: Authority, clients: Authority
) -> None:
    check = "/grpc.health.v1.Health/Check"
    assert await ask(await double.channel(trusting(authority)), check) == NO_CONNECTION
    assert await ask(await double.channel(trusting(authority, clients.client())), check) == OK
