import pytest

from service.errors import InvalidArgument
from service.rpc.call import CallOptions, Mode, read_options


def test_without_metadata_a_call_waits_and_has_no_keys() -> None:
    assert read_options(()) == CallOptions(Mode.WAIT, None, None, "", None)


def test_reads_every_option() -> None:
    options = read_options(
        (
            ("x-hydra-mode", "submit"),
            ("idempotency-key", "k1"),
            ("x-restate-key", "ws_1"),
            ("x-hydra-caller", "ci"),
            ("traceparent", "00-a-b-01"),
            ("some-bin", b"\x00"),
        )
    )
    assert options == CallOptions(Mode.SUBMIT, "k1", "ws_1", "ci", "00-a-b-01")
    assert options.headers("k2") == {"idempotency-key": "k2", "x-hydra-caller": "ci", "traceparent": "00-a-b-01"}


@pytest.mark.parametrize(
    ("key", "value"), [("x-hydra-mode", "later"), ("idempotency-key", ""), ("x-restate-key", "k" * 513)]
)
def test_refuses_what_it_cannot_use_and_names_it(key: str, value: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        read_options(((key, value),))
    assert raised.value.facts["field"] == key


def test_credentials_are_never_passed_on() -> None:
    assert read_options((("authorization", "Bearer s3cret"),)).headers(None) == {}
