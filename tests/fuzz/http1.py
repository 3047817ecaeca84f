"""Requests over HTTP/1.1 of which any part may be wrong, and answers to them."""

from dataclasses import dataclass

from tests.fuzz.connection import say
from tests.fuzz.shown import Shown

_PATIENCE_S = 60  # a request that takes that long was never answered
_CONTINUE = b"HTTP/1.1 100 "

Headers = tuple[tuple[bytes, bytes], ...]
JSON: Headers = ((b"content-type", b"application/json"),)


@dataclass(frozen=True, repr=False)
class Request(Shown):
    """A request; `may_succeed` where it can be a good one."""

    target: bytes
    body: bytes = b""
    method: bytes = b"POST"
    headers: Headers = JSON
    may_succeed: bool = False

    def encode(self) -> bytes:
        fields = ((b"host", b"x"), (b"connection", b"close"), (b"content-length", b"%d" % len(self.body)))
        lines = b"".join(b"%s: %s\r\n" % pair for pair in (*fields, *self.headers))
        return b"%s %s HTTP/1.1\r\n%s\r\n%s" % (self.method, self.target, lines, self.body)


@dataclass(frozen=True)
class Answer:
    """An answer; `status` is 0 where there was none."""

    status: int
    body: bytes


async def ask(address: str, request: Request) -> Answer:
    """Send a request to `host:port`."""
    received = await say(address, request.encode(), patience_s=_PATIENCE_S)
    if received.startswith(_CONTINUE):
        received = received.partition(b"\r\n\r\n")[2]
    head, _, body = received.partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    status = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
    return Answer(status, body)
