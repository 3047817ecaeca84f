from datetime import timedelta

import pytest

from service.errors import Overloaded
from service.rpc.limits import Limits, Places

LIMITS = Limits(
    message_bytes=4096,
    streams=7,
    waiting_calls=5,
    keepalive_interval=timedelta(seconds=60),
    keepalive_timeout=timedelta(seconds=20),
    client_ping_interval=timedelta(milliseconds=100),
)


def test_the_bounds_become_grpcs_arguments() -> None:
    arguments = dict(LIMITS.arguments())
    wanted = {
        "grpc.max_receive_message_length": 4096,
        "grpc.max_concurrent_streams": 7,
        "grpc.keepalive_time_ms": 60_000,
        "grpc.keepalive_timeout_ms": 20_000,
        "grpc.http2.ping_timeout_ms": 20_000,
        "grpc.http2.min_ping_interval_without_data_ms": 100,
    }
    assert wanted.items() <= arguments.items()
    assert len(arguments) == len(LIMITS.arguments())


def test_there_is_room_for_calls_that_do_not_wait() -> None:
    assert LIMITS.calls > LIMITS.waiting_calls


def test_places_are_taken_up_to_the_bound_and_given_back() -> None:
    places = Places(2)
    with places.one():
        with places.one(), pytest.raises(Overloaded) as raised, places.one():
            pass
        assert (raised.value.reason, raised.value.status) == ("TOO_MANY_CALLS", "RESOURCE_EXHAUSTED")
        with places.one():
            pass


def test_a_call_that_fails_gives_its_place_back() -> None:
    places = Places(1)
    for _ in range(2):
        with pytest.raises(KeyError), places.one():
            raise KeyError
