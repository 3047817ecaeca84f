"""Writes HTTP/2 as no client in order would: frames and header fields of any bytes (RFC 9113, RFC 7541)."""

from collections.abc import Iterable

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 5, 6, 7, 8, 9
END_STREAM, END_HEADERS = 1, 4

_ANSWERS = (HEADERS, RST_STREAM, GOAWAY)
_HEAD = 9

Fields = Iterable[tuple[bytes, bytes]]


def frame(kind: int, payload: bytes = b"", *, flags: int = 0, stream: int = 0) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


OPENING = PREFACE + frame(SETTINGS)


def field(name: bytes, value: bytes) -> bytes:
    """Write a header field as it is: not from a table, not into one, not compressed."""
    return b"\0" + _length(name) + name + _length(value) + value


def _length(text: bytes) -> bytes:
    """Write a length as an integer with a prefix of seven bits."""
    if len(text) < 0x7F:
        return bytes([len(text)])
    rest, octets = len(text) - 0x7F, [0x7F]
    while rest >= 0x80:
        octets.append(rest % 0x80 | 0x80)
        rest //= 0x80
    return bytes([*octets, rest])


def headers(fields: Fields, *, flags: int = END_HEADERS, stream: int = 1) -> bytes:
    return frame(HEADERS, b"".join(field(*pair) for pair in fields), flags=flags, stream=stream)


def request(fields: Fields, body: bytes, *, stream: int = 1) -> bytes:
    """Write a whole request."""
    return headers(fields, stream=stream) + frame(DATA, body, flags=END_STREAM, stream=stream)


def is_answer(received: bytes) -> bool:
    """Tell whether a server has said what it makes of a request."""
    while len(received) >= _HEAD:
        if received[3] in _ANSWERS:
            return True
        received = received[_HEAD + int.from_bytes(received[:3], "big") :]
    return False
