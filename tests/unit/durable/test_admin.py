import pytest

from service.durable.admin import input_of, quoted

# An entry as Restate 1.7.12 has it: headers, and a value with the request.
HEADERS = "0a0d0a06616363657074" + "12032a2f2a"
VALUE = (
    "723a0a387b226465706c6f796d656e744964223a2022645f6e6f77222c"
    "2022646f636b6572496d616765223a207b22696d616765223a202261227d7d"
)


@pytest.mark.parametrize("headers", ["", HEADERS, HEADERS * 3])
def test_the_request_is_found_behind_any_headers(headers: str) -> None:
    assert input_of(headers + VALUE) == b'{"deploymentId": "d_now", "dockerImage": {"image": "a"}}'


def test_a_long_request_is_found_whole() -> None:
    body = b'{"command": ["' + b"x" * 70_000 + b'"]}'

    def field(number: int, content: bytes) -> bytes:
        return bytes([number << 3 | 2]) + varint(len(content)) + content

    assert input_of(field(14, field(1, body)).hex()) == body


def varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


@pytest.mark.parametrize("raw", ["", HEADERS])
def test_without_a_value_there_is_no_request(raw: str) -> None:
    assert input_of(raw) == b""


def test_values_are_quoted_for_sql() -> None:
    assert quoted(["a", "b'; --"]) == "'a', 'b''; --'"
    assert quoted([]) == "NULL"
