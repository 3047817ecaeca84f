"""What a server takes up while it runs: tokens from its configuration, certificates from their files."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import grpc.aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from service.rpc.call import SERVICE
from tests.installation import Installation
from tests.integration.door.callers import (
    DEPLOYER,
    EXPIRED,
    FORBIDDEN,
    LET_IN,
    MISSING,
    NO_CONNECTION,
    OPERATOR,
    READER,
    UNKNOWN,
    Answer,
    Secret,
    ask,
    tables,
    trusting,
)
from tests.integration.door.doors import Door, Pem
from tests.servers.certificates import Authority, Pair
from tests.waiting import until

pytestmark = pytest.mark.xdist_group("door")

DEPLOY, PROMOTE = f"/{SERVICE}/Deploy", f"/{SERVICE}/Promote"
NOT_TAKEN, TAKEN = "a change was not taken up", "a change was taken up"
TOKENS, FILES = "grpc.tokens", "grpc.tls_*"
FRESH = "hydra_drawn-this-morning"
UNLIMITED = Secret("fresh", "deploy", FRESH)


@pytest.fixture(scope="module")
async def door(house: Installation) -> AsyncIterator[Door]:
    """Put a door before the house whose tokens change; each test says which it has."""
    async with Door(house.stack, "changing", tables((READER,))) as door:
        yield door


def answers(
    channel: grpc.aio.Channel, path: str, secret: Secret | None, expected: Answer
) -> Callable[[], Awaitable[bool]]:
    async def as_expected() -> bool:
        return await ask(channel, path, secret.metadata if secret else ()) == expected

    return as_expected


async def take_up(door: Door, grpc_table: str) -> None:
    """Change the configuration, and wait until the server has looked at it."""
    before = len(door.told(TAKEN, of=TOKENS))
    door.configure(grpc_table)

    async def taken() -> bool:
        return len(door.told(TAKEN, of=TOKENS)) > before

    await until(taken)


async def look_twice(door: Door, keys: str = "") -> None:
    """Wait until the server has looked at its files once more: it looks at the tokens first, and then at them."""
    for secret in (DEPLOYER, OPERATOR):
        await take_up(door, keys + tables((READER, secret)))


async def test_a_token_comes_changes_its_role_and_goes(door: Door) -> None:
    channel = await door.channel()  # one connection for all of it
    assert await ask(channel, DEPLOY, UNLIMITED.metadata) == UNKNOWN

    door.configure(tables((READER, UNLIMITED)))
    await until(answers(channel, DEPLOY, UNLIMITED, LET_IN))
    assert await ask(channel, PROMOTE, UNLIMITED.metadata) == FORBIDDEN
    door.configure(tables((READER, Secret("fresh", "operate", FRESH))))
    await until(answers(channel, PROMOTE, UNLIMITED, LET_IN))
    door.configure(tables((READER,)))
    await until(answers(channel, DEPLOY, UNLIMITED, UNKNOWN))

    assert await ask(channel, DEPLOY, READER.metadata) == FORBIDDEN
    assert FRESH not in door.log.read_text()


async def test_a_token_ends_at_its_time(door: Door) -> None:
    channel = await door.channel()
    soon = datetime.now(UTC) + timedelta(seconds=5)
    ending = Secret("ending", "operate", FRESH, soon.isoformat())
    await take_up(door, tables((READER, ending)))

    await until(answers(channel, DEPLOY, ending, EXPIRED))

    assert datetime.now(UTC) >= soon
    await take_up(door, tables((READER, Secret("ending", "operate", FRESH, (soon + timedelta(days=1)).isoformat()))))
    await until(answers(channel, DEPLOY, ending, LET_IN))


BROKEN = {  # in this order: of two that read alike, one after the other, only the first would be told
    "a number beyond all bounds": f"max_message_bytes = {'9' * 5000}\n",
    "not TOML": "[[grpc.tokens]\n",
    "half a table": '[[grpc.tokens]]\nname = "half"\nrole = "operate"\n',
    "a token for its hash": f'[[grpc.tokens]]\nname = "bare"\nrole = "operate"\nsha256 = "{FRESH}"\n',
    "a fault elsewhere": "insecur = true\n",
    "too deep": f"max_message_bytes = {'[' * 2000}\n",
}


@pytest.mark.parametrize("case", BROKEN)
async def test_a_broken_configuration_changes_nothing_and_is_told(door: Door, case: str) -> None:
    channel = await door.channel()
    before = len(door.told(NOT_TAKEN, of=TOKENS))

    door.configure(BROKEN[case])

    async def told() -> bool:
        return len(door.told(NOT_TAKEN, of=TOKENS)) > before

    await until(told)
    assert await ask(channel, DEPLOY, READER.metadata) == FORBIDDEN
    assert await ask(channel, DEPLOY) == MISSING


async def test_after_all_that_a_sound_one_is_taken_up(door: Door) -> None:
    channel = await door.channel()
    door.configure(tables((READER, DEPLOYER)))

    await until(answers(channel, DEPLOY, DEPLOYER, LET_IN))

    assert FRESH not in door.log.read_text()
    assert "Traceback" not in door.log.read_text()


async def test_without_any_token_left_nobody_gets_in(door: Door) -> None:
    channel = await door.channel()
    await take_up(door, tables((OPERATOR,)))

    await take_up(door, "")

    assert await ask(channel, DEPLOY, OPERATOR.metadata) == UNKNOWN
    assert await ask(channel, DEPLOY) == MISSING


async def test_the_first_token_closes_a_door_that_was_open(house: Installation) -> None:
    async with Door(house.stack, "closing") as door:
        channel = await door.channel()
        assert await ask(channel, DEPLOY) == LET_IN

        await take_up(door, tables((DEPLOYER,)))

        assert await ask(channel, DEPLOY) == MISSING
        assert await ask(channel, DEPLOY, DEPLOYER.metadata) == LET_IN


async def shown(door: Door) -> bytes:
    """Look which certificate a new connection is shown, in PEM."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    _, writer = await asyncio.open_connection("127.0.0.1", door.port, ssl=context)
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return ssl.DER_cert_to_PEM_cert(der).encode()


async def test_new_connections_are_shown_the_new_certificate_and_open_ones_live_on(
    house: Installation, authority: Authority
) -> None:
    pem = Pem(house.stack.folder / "renewed", authority)
    async with Door(house.stack, "renewed", pem.keys) as door:
        early = await door.channel(trusting(authority))
        assert await ask(early, DEPLOY) == LET_IN

        successor = Authority("successor")
        pair = successor.server("localhost")
        pem.put(pair)

        async def renewed() -> bool:
            return await shown(door) == pair.cert

        await until(renewed)
        assert await ask(await door.channel(trusting(successor)), DEPLOY) == LET_IN
        assert await ask(await door.channel(trusting(authority)), DEPLOY) == NO_CONNECTION
        assert await ask(early, DEPLOY) == LET_IN  # over the connection that it has: it trusts no new one


async def test_half_a_pair_is_not_taken_up_before_the_other_half_is_there(
    house: Installation, authority: Authority
) -> None:
    pem = Pem(house.stack.folder / "half-written", authority)
    first, second = authority.server("localhost"), authority.server("localhost")
    pem.put(first)
    async with Door(house.stack, "half-written", pem.keys + tables((READER,))) as door:
        pem.put_cert(second.cert)

        async def told() -> bool:
            return bool(door.told(NOT_TAKEN, of=FILES))

        await until(told)
        assert await shown(door) == first.cert
        await look_twice(door, pem.keys)
        assert await shown(door) == first.cert
        (fault,) = door.told(NOT_TAKEN, of=FILES)  # once, however often it was seen
        assert "grpc.tls_cert_file and grpc.tls_key_file" in fault["error"]
        pem.put_key(second.key)

        async def renewed() -> bool:
            return await shown(door) == second.cert

        await until(renewed)
        for key in (first.key, second.key):
            assert key.decode().splitlines()[1] not in door.log.read_text()


async def test_another_authority_for_clients_is_taken_up(house: Installation, authority: Authority) -> None:
    old, new = Authority("old"), Authority("new")
    pem = Pem(house.stack.folder / "clients", authority, old)
    async with Door(house.stack, "clients", pem.keys) as door:
        early = await door.channel(trusting(authority, old.client()))
        assert await ask(early, DEPLOY) == LET_IN
        assert await ask(await door.channel(trusting(authority, new.client())), DEPLOY) == NO_CONNECTION

        async def lets_in(authority_of_client: Authority) -> bool:
            return await ask(await door.channel(trusting(authority, authority_of_client.client())), DEPLOY) == LET_IN

        pem.put_clients("# old and new, für eine Weile\n".encode() + old.cert + new.cert)  # a rotation's first step
        await until(lambda: lets_in(new))
        assert await lets_in(old)
        pem.put_clients(new.cert)

        async def shuts_out() -> bool:
            return not await lets_in(old)

        await until(shuts_out)
        assert await lets_in(new)
        assert await ask(early, DEPLOY) == LET_IN


async def test_a_certificate_that_grpc_cannot_show_is_not_taken_up(house: Installation, authority: Authority) -> None:
    pem = Pem(house.stack.folder / "unsupported", authority)
    async with Door(house.stack, "unsupported", pem.keys) as door:
        pem.put(of_ed25519())

        async def told() -> bool:
            return any("RSA" in line["error"] for line in door.told(NOT_TAKEN, of=FILES))

        await until(told)
        assert await ask(await door.channel(trusting(authority)), DEPLOY) == LET_IN


def of_ed25519() -> Pair:
    """Make what OpenSSL can show, and the TLS of gRPC can not."""
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, None)
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Pair(certificate.public_bytes(Encoding.PEM), secret)
