"""Values that could do harm further on are refused, naming the field."""

from random import Random

import pytest

from service.domain.identifiers import Prefix, new_id
from service.domain.request import validate_command, validate_deployment_id
from service.errors import InvalidArgument


@pytest.mark.parametrize(
    "value", ["d_AbCd1234", "d", "0", "d-1", "d_" + "x" * 61, new_id(Prefix.DEPLOYMENT, Random(1))]
)
def test_good_id(value: str) -> None:
    validate_deployment_id(value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "deployment_id is empty: give the id of a deployment"),
        ("x" * 64, "deployment_id has 64 characters, an id has at most 63"),
        ("d_1\n", r"deployment_id 'd_1\n' is not an id: use letters"),
        ("d 1", "deployment_id 'd 1' is not an id"),
        ("d\x001", r"deployment_id 'd\x001' is not an id"),
        ("d_1.evil.example", "deployment_id 'd_1.evil.example' is not an id"),
        ("../d_1", "deployment_id '../d_1' is not an id"),
        ("d_\u00e9", r"deployment_id 'd_\xe9' is not an id"),
        ("d_\u0661", r"deployment_id 'd_\u0661' is not an id"),
        ("_d", "deployment_id '_d' is not an id"),
        ("d_", "deployment_id 'd_' is not an id"),
    ],
)
def test_bad_id(value: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        validate_deployment_id(value)
    assert caught.value.message.startswith(message)
    assert caught.value.facts == {"field": "deployment_id"}


def test_other_fields_hold_ids_too() -> None:
    with pytest.raises(InvalidArgument, match="source_deployment_id is empty") as caught:
        validate_deployment_id("", field="source_deployment_id")
    assert caught.value.facts == {"field": "source_deployment_id"}


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["/app"],
        ["sh", "-c", "echo a\necho b\ttab"],
        ["printf", "", "\u0432"],
        ["x"] * 64,
        ["x" * 32768],
        ["\u00e9" * 16384],
    ],
)
def test_good_command(command: list[str]) -> None:
    validate_command(command)


@pytest.mark.parametrize(
    ("command", "message", "field"),
    [
        (["x"] * 65, "command has 65 arguments, at most 64 fit", "command"),
        (["x", "y" * 32768], "command has 32769 bytes, at most 32768 fit", "command"),
        (["\u00e9" * 16385], "command has 32770 bytes", "command"),
        ([""], "command[0] is empty", "command[0]"),
        (["", "x"], "command[0] is empty", "command[0]"),
        (["sh", "a\0b"], "command[1] contains a NUL or half a character", "command[1]"),
        (["sh", "\ud83d"], "command[1] contains a NUL or half a character", "command[1]"),
    ],
)
def test_bad_command(command: list[str], message: str, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        validate_command(command)
    assert caught.value.message.startswith(message)
    assert caught.value.facts == {"field": field}
