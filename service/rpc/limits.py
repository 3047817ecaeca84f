"""How much the gRPC server takes on: connections that live, streams, messages, and calls that wait."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from service.errors import Overloaded

# What gRPC takes of a call's message before anybody reads it. By itself it would let a client send 4 MiB.
_AHEAD_BYTES = 16 * 1024

# Calls that came and were not looked at yet, some 20 KiB each; beyond it gRPC ends them as CANCELLED.
_UNSEEN_CALLS = 4_000

# Beyond the calls that wait there are health checks, of which some stay for long, and reflection.
_CALLS_BESIDE = 800
_OTHER_CALLS = 1000


@dataclass(frozen=True)
class Limits:
    """The bounds of one server.

    `streams` counts per connection, where more wait at the client; `waiting_calls` in all. A connection that says
    nothing for `keepalive_interval` is asked, and closed after `keepalive_timeout` without an answer; a client that
    asks us more often than every `client_ping_interval` is sent away.
    """

    message_bytes: int
    streams: int
    waiting_calls: int
    keepalive_interval: timedelta
    keepalive_timeout: timedelta
    client_ping_interval: timedelta

    @property
    def calls(self) -> int:
        """Calls of all kinds at once; one more is refused before anything of it is read."""
        return self.waiting_calls + _OTHER_CALLS

    @property
    def calls_beside(self) -> int:
        """Health checks at once; so there is room left for calls that wait, and for those that are refused."""
        return _CALLS_BESIDE

    def arguments(self) -> list[tuple[str, int]]:
        """Return the channel arguments of gRPC that hold the bounds."""
        return [
            ("grpc.max_receive_message_length", self.message_bytes),
            ("grpc.max_send_message_length", self.message_bytes),
            ("grpc.max_concurrent_streams", self.streams),
            ("grpc.keepalive_time_ms", _ms(self.keepalive_interval)),
            ("grpc.keepalive_timeout_ms", _ms(self.keepalive_timeout)),
            ("grpc.http2.ping_timeout_ms", _ms(self.keepalive_timeout)),  # gRPC 1.85 heeds this one alone
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_pings_without_data", 0),  # else a call that waits is asked twice and then no more
            ("grpc.http2.min_ping_interval_without_data_ms", _ms(self.client_ping_interval)),
            ("grpc.http.overload_protection", 0),  # else calls that ended count as streams for a while, and others fail
            ("grpc.http2.bdp_probe", 0),  # else what it takes ahead grows with the connection's speed
            ("grpc.http2.lookahead_bytes", _AHEAD_BYTES),
            ("grpc.server.max_pending_requests", _UNSEEN_CALLS),
            ("grpc.server.max_pending_requests_hard_limit", _UNSEEN_CALLS),
        ]


def _ms(value: timedelta) -> int:
    return value // timedelta(milliseconds=1)


class Places:
    """Room for calls that wait for a workflow: each holds memory here and a connection to Restate."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """Take a place for as long as the block lasts. Raises Overloaded."""
        if self._taken >= self._most:
            raise Overloaded(
                f"this server has {self._most} calls waiting and takes no more: try again later",
                reason="TOO_MANY_CALLS",
            )
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1
