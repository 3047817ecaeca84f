import json

import pytest
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st

from service.build.buildkit import Details, Location
from service.build.buildkit.details import read_details
from tests.servers.fake_build import error_details

PREFIX = "github.com/moby/buildkit/"


def trailer(*details: tuple[str, bytes]) -> bytes:
    status = Status(code=2)
    for name, value in details:
        status.details.add(type_url=name, value=value)
    return bytes(status.SerializeToString())


def test_everything_that_is_said_is_read() -> None:
    read = read_details(error_details("sha256:1", 3, ("Dockerfile", 4)))
    assert read == Details("sha256:1", 3, Location("Dockerfile", 4))


def test_nothing_said_is_nothing_read() -> None:
    assert read_details(b"") == read_details(error_details()) == Details()


def test_of_several_the_first_counts() -> None:
    said = [(f"{PREFIX}errdefs.Vertex+json", json.dumps({"digest": digest}).encode()) for digest in ("a", "b")]
    assert read_details(trailer(*said)).vertex == "a"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("errdefs.Vertex+json", b"not json"),
        pytest.param("errdefs.Vertex+json", b"[" * 100_000, id="deep"),
        ("errdefs.Vertex+json", b"\xff\xfe"),
        ("errdefs.Vertex+json", b"[1]"),
        ("errdefs.Vertex+json", b"{}"),
        ("gatewayapi.ExitMessage+json", b'{"Code": "3"}'),
        ("gatewayapi.ExitMessage+json", b'{"Code": null}'),
        ("errdefs.Source+json", b'{"info": null, "ranges": []}'),
        ("errdefs.Source+json", b'{"info": {"filename": "Dockerfile"}, "ranges": []}'),
        ("errdefs.Source+json", b'{"info": {"filename": "Dockerfile"}, "ranges": [{"start": {"line": "x"}}]}'),
        ("errdefs.Source+json", b'{"info": {"filename": "Dockerfile"}, "ranges": {"start": 1}}'),
        ("", b"{}"),
    ],
)
def test_what_cannot_be_read_counts_as_not_said(name: str, value: bytes) -> None:
    assert read_details(trailer((PREFIX + name, value))) == Details()


def test_what_cannot_be_read_does_not_hide_the_rest() -> None:
    said = (f"{PREFIX}errdefs.Source+json", b"{"), (f"{PREFIX}gatewayapi.ExitMessage+json", b'{"Code": 1}')
    assert read_details(trailer(*said)) == Details(exit_code=1)


@given(st.binary())
def test_any_bytes_are_read(garbage: bytes) -> None:
    assert isinstance(read_details(garbage), Details)
