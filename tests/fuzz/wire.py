"""Bytes that are almost protobuf: the wire format with a mistake in it (protobuf.dev, Encoding)."""

import hypothesis.strategies as st

VARINT, FIXED64, LENGTH, START, END, FIXED32 = range(6)
_NUMBERS = (*range(9), 15, 16, 19_000, 2**29 - 1)
_LONGEST_VARINT = 10


def varint(number: int, *, length: int = 1) -> bytes:
    """Write a number, in at least `length` bytes."""
    septets = [number & 0x7F]
    while number := number >> 7:
        septets.append(number & 0x7F)
    septets += [0] * (length - len(septets))
    return bytes([*(septet | 0x80 for septet in septets[:-1]), septets[-1]])


def tag(number: int, kind: int) -> bytes:
    return varint(number << 3 | kind)


def text(number: int, value: bytes) -> bytes:
    return tag(number, LENGTH) + varint(len(value)) + value


def nested(depth: int, number: int = 100) -> bytes:
    """Write groups within groups, of a field that nobody knows."""
    return tag(number, START) * depth + tag(number, END) * depth


IMAGE = text(4, text(1, b"a"))
REQUEST = text(1, b"d_none") + IMAGE  # a Deploy of what does not exist
MISTAKES = {
    "nothing": b"",
    "cut short": text(1, b"d_none")[:-3],
    "a length without bytes": b"\x0a\xff\xff\xff\xff\x07",
    "a negative length": b"\x0a" + varint(2**64 - 1),
    "a varint without end": b"\x0a" + b"\x80" * 11,
    "an overlong varint": tag(1, LENGTH) + varint(6, length=_LONGEST_VARINT) + b"d_none" + IMAGE,
    "an endless varint": b"\x0a" + b"\xff" * 20,
    "field 0": b"\x02\x00",
    "wire type 6": b"\x0e",
    "wire type 7": b"\x0f",
    "a number for a text": tag(1, VARINT) + b"\x01" + IMAGE,
    "a text for a number": text(3, text(7, b"x")),
    "a fixed64 for a message": tag(3, FIXED64) + b"\0" * 8,
    "no UTF-8": text(1, b"\xff\xfe"),
    "half a surrogate pair": text(1, b"\xed\xa0\x80"),
    "UTF-8 that is too long": text(1, b"\xc0\x80"),
    "no UTF-8 where nothing is read": REQUEST + text(2, b"\xff"),
    "a group that does not end": tag(1, START),
    "a group that did not begin": tag(1, END),
    "a group that ends as another": tag(90, START) + tag(91, END),
    "unknown fields": REQUEST + text(100, b"abc") + tag(101, FIXED32) + b"abcd" + tag(2**29 - 1, VARINT) + b"\x01",
    "50 groups": REQUEST + nested(50),
    "200 groups": REQUEST + nested(200),
    "100000 groups": REQUEST + nested(100_000),
    "both sources": REQUEST + text(3, text(2, b"o/r")),
    "both sources, the image last": text(1, b"d_none") + text(3, text(2, b"o/r")) + IMAGE,
    "one source many times": REQUEST + IMAGE * 10_000,
    "100000 arguments": REQUEST + text(5, b"") * 100_000,
    "a huge argument": REQUEST + text(5, b"x" * 3_000_000),
    "a huge id": text(1, b"d" * 1_000_000) + IMAGE,
    "a huge field that nobody knows": REQUEST + text(100, b"x" * 3_000_000),
    "JSON": b'{"deploymentId":"d_none"}',
}


def almost_messages() -> st.SearchStrategy[bytes]:
    """Draw pieces of the format in any order, sometimes behind a good request, sometimes cut short."""
    pieces = st.lists(_pieces(), max_size=8).map(b"".join)
    whole = st.tuples(st.sampled_from((b"", REQUEST)), pieces).map(b"".join)
    return whole | st.tuples(whole, st.integers(0, 40)).map(lambda drawn: drawn[0][: drawn[1]]) | st.binary(max_size=64)


def _pieces() -> st.SearchStrategy[bytes]:
    tags = st.tuples(st.sampled_from(_NUMBERS), st.integers(0, 7)).map(lambda drawn: tag(*drawn))
    numbers = st.tuples(st.integers(0, 2**70), st.integers(1, 12)).map(lambda drawn: varint(drawn[0], length=drawn[1]))
    inner = st.recursive(
        st.binary(max_size=20),
        lambda inner: st.tuples(st.sampled_from(_NUMBERS), inner).map(lambda drawn: text(*drawn)),
        max_leaves=5,
    )
    fields = st.tuples(st.sampled_from(_NUMBERS), inner).map(lambda drawn: text(*drawn))
    return tags | numbers | fields | st.integers(1, 150).map(nested)
