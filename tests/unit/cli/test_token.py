import re
from base64 import urlsafe_b64decode
from hashlib import sha256

import pytest

from service.config.own import Role
from tests.command import hydra
from tests.configuration import settings
from tests.documentation import documented_keys


@pytest.mark.parametrize("role", ["deploy", "operate", "read"])
async def test_what_is_printed_is_a_token_and_its_table(role: Role) -> None:
    ended = await hydra("token", "ci", "--role", role)
    token = ended.out.removesuffix("\n")
    table = ended.err[ended.err.index("[[") :]
    (configured,) = settings(table).grpc.tokens

    assert ended.code == 0
    assert len(urlsafe_b64decode(token.removeprefix("hydra_") + "=")) * 8 == 256
    assert token not in ended.err
    assert (configured.name, configured.role) == ("ci", role)
    assert configured.sha256 == sha256(token.encode()).hexdigest()
    assert settings(f'[client]\ntoken = "{token}"').client.token.get_secret_value() == token


async def test_each_token_is_another() -> None:
    first, second = [(await hydra("token", "ci", "--role", "read")).out for _ in range(2)]

    assert first != second


async def test_the_document_is_as_documented() -> None:
    ended = await hydra("token", "ci@example.com", "--role", "operate", "--json")

    assert (ended.code, ended.err) == (0, "")
    assert ended.document.keys() == documented_keys("token")
    assert ended.document["sha256"] == sha256(ended.document["token"].encode()).hexdigest()
    assert (ended.document["name"], ended.document["role"]) == ("ci@example.com", "operate")


@pytest.mark.parametrize(
    "arguments", [("a b", "--role", "read"), ("", "--role", "read"), ("ci", "--role", "admin"), ("ci",)]
)
async def test_a_token_of_nobody_or_for_nothing_is_not_drawn(arguments: tuple[str, ...]) -> None:
    ended = await hydra("token", *arguments)

    assert (ended.code, ended.out) == (2, "")
    assert not re.search("hydra_[A-Za-z0-9_-]{43}", ended.err)
