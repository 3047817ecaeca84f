import json
from collections.abc import Awaitable, Callable

import pytest

from service.durable.admin import Admin, input_of, quoted
from service.durable.registered import deployments, services
from service.durable.releases import releases
from service.errors import FailedPrecondition
from tests.servers.stray import saying

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


ASKED: dict[str, Callable[[Admin], Awaitable[object]]] = {
    "about": lambda admin: admin.about(),
    "query": lambda admin: admin.query("SELECT 1"),
    "by id": lambda admin: admin.by_id(["inv_1"]),
    "inputs": lambda admin: admin.inputs(["inv_1"]),
    "deployments": deployments,
    "services": services,
    "releases": releases,
}
ROW = {"id": "inv_1", "target_service_name": "s", "target_handler_name": "h", "status": "running"}
STRANGE = ["<html>please log in</html>", "[" * 100_000, "null", "[]", '"text"']
# Of the shape that was asked for, as far as the outermost object goes.
NEARLY = [
    {"rows": None, "deployments": 7, "services": [None]},
    {"rows": ["text"], "deployments": ["text"], "services": ["text"]},
    {"rows": [{}], "deployments": [{}], "services": [{}]},
    {
        "rows": [{"id": "inv_1", "raw": "no hex"}],
        "deployments": [{"id": "dp_1", "created_at": 7}],
        "services": {"a": 1},
    },
    {"rows": [{**ROW, "raw": "72ff", "created_at": 7, "modified_at": "yesterday"}]},
]
PLACES = [
    *((asked, body) for asked in ASKED for body in STRANGE),
    *((asked, json.dumps(body)) for asked in ASKED if asked not in ("about", "query") for body in NEARLY),
]


@pytest.mark.parametrize(("asked", "body"), PLACES, ids=range(len(PLACES)))
async def test_what_is_no_answer_of_restate_is_for_the_operator(asked: str, body: str) -> None:
    """A proxy's page must not end who asks again and again, as an error that nobody has thought of would."""
    async with saying(200, body) as url, Admin(url) as admin:
        with pytest.raises(FailedPrecondition) as refused:
            await ASKED[asked](admin)
    assert refused.value.reason == "RESTATE_REFUSES"
