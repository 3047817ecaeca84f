"""Bytes that are almost protojson: JSON with a mistake in it, and good JSON of the wrong shape."""

import json
from typing import Any

import hypothesis.strategies as st

from tests.fuzz.hostile import INT64S, TEXTS, texts

GOOD: dict[str, Any] = {"deploymentId": "d_none", "dockerImage": {"image": "a"}}  # a Deploy of what does not exist
GIT = {"repository": "acme/shop", "branch": "main"}
_GOOD = json.dumps(GOOD).encode()
_DEEP = 10_000
_FIELDS = (
    "deploymentId",
    "deployment_id",
    "keyAuthId",
    "git",
    "dockerImage",
    "docker_image",
    "command",
    "@type",
    "[x.y]",
)


def number(text: str) -> bytes:
    """Write a request with a number spelled so."""
    return b'{"deploymentId":"d_none","git":{"repository":"o/r","branch":"b","prNumber":%s}}' % text.encode()


NUMBERS = (
    *map(str, INT64S),
    *(f'"{one}"' for one in INT64S),
    str(2**63),
    str(-(2**63) - 1),
    f'"{2**64}"',
    "7.0",
    "7.5",
    "1e3",
    "1e400",
    "-0",
    "007",
    "0x10",
    "+1",
    "NaN",
    "Infinity",
    "-Infinity",
    '"NaN"',
    '""',
    '" 7"',
    '"7 "',
    '"1_0"',
    '"0x1"',
    '"\u0663"',
    "true",
    "null",
    "[]",
    "{}",
    "[7]",
    '"x"',
    "1" * 5000,
    f'"{"1" * 5000}"',
    "1" * 500_000,
)
MISTAKES = (
    *(b"", b" \n", b"null", b"true", b"7", b'"x"', b"[]", b"[{}]", b"{", b"}", b"{}", b"x", b"\0"),
    _GOOD[:-1],
    _GOOD[:17],
    _GOOD + b"x",
    _GOOD + _GOOD,
    b"\xef\xbb\xbf" + _GOOD,
    json.dumps(GOOD).encode("utf-16"),
    json.dumps(GOOD).encode("utf-32"),
    _GOOD.replace(b'"', b"'"),
    b"/* x */" + _GOOD,
    b'{"deploymentId":"\xff"}',
    b'{"\xff":1}',
    b'{"deploymentId":"\xed\xa0\x80"}',
    b'{"deploymentId":"\\ud800"}',
    b'{"deploymentId":"\\udc00\\ud800"}',
    b'{"\\ud800":1}',
    b'{"git":{"\\udfff":{}}}',
    b'{"keyAuthId":"\\ud800","deploymentId":"d_none","dockerImage":{"image":"a"}}',
    b'{"deploymentId":"d_none","dockerImage":{"image":"a"},"command":["\\ud83d"]}',
    b'{"deploymentId":"\\u0000"}',
    b'{"deploymentId":"\0"}',
    b'{"deploymentId":"a\nb"}',
    b'{"deploymentId":"\\x41"}',
    b'{"deploymentId":"a","deploymentId":"d_none"}',
    b'{"deploymentId":"a","deployment_id":"d_none"}',
    b'{"deploymentId":"d_none","git":{},"dockerImage":{"image":"a"}}',
    b'{"deploymentId":"d_none","git":null,"dockerImage":{"image":"a"}}',
    b'{"":1,"\\u0000":2,"[hydra.v1.x]":3}',
    b'{"@type":"type.googleapis.com/hydra.v1.DeployRequest","value":{}}',
    *(b'{"deploymentId":%s}' % one for one in (b"7", b"[]", b"{}", b"true", b"null", b'["a"]')),
    *(b'{"git":%s}' % one for one in (b"7", b'"x"', b"[]", b"[{}]", b"true", b"null")),
    *(b'{"command":%s}' % one for one in (b"7", b'"x"', b"{}", b"[null]", b"[7]", b"[[]]", b"null")),
    *(number(text) for text in NUMBERS),
    b'{"x":' + b"[" * _DEEP + b"]" * _DEEP + b"}",
    b'{"x":' * _DEEP + b"1" + b"}" * _DEEP,
    b'{"git":' * _DEEP + b"1" + b"}" * _DEEP,
    b'{"git":{"x":' + b"[" * 900 + b"]" * 900 + b"}}",
    b"[" * 100_000,
    b'{"a":' * 100_000,
    json.dumps({**GOOD, "command": ["x"] * 100_000}).encode(),
    json.dumps({**GOOD, **{f"f{one}": one for one in range(50_000)}}).encode(),
    json.dumps({**GOOD, "keyAuthId": "x" * 5_000_000}).encode(),
    json.dumps({**GOOD, "deploymentId": "d" * 1_000_000}).encode(),
    *(json.dumps({**GOOD, "deploymentId": text}).encode() for text in TEXTS),
    *(json.dumps({**GOOD, "dockerImage": {"image": text}}).encode() for text in TEXTS if text != "a" * 63),
    *(json.dumps({"deploymentId": "d_none", "git": {**GIT, key: text}}).encode() for key in GIT for text in TEXTS),
)


def almost_documents() -> st.SearchStrategy[bytes]:
    """Draw JSON of any shape, as UTF-8 or another encoding, sometimes cut short or with a byte of it changed."""
    shaped = st.dictionaries(st.sampled_from(_FIELDS) | texts(), _values(), max_size=6)
    whole = shaped.flatmap(lambda one: st.sampled_from([one, {**GOOD, **one}])).map(_encode)
    cut = st.tuples(whole, st.integers(0, 60)).map(lambda drawn: drawn[0][: drawn[1]])
    changed = st.tuples(whole, st.integers(0, 60), st.binary(min_size=1, max_size=3)).map(_overwrite)
    recoded = st.tuples(shaped, st.sampled_from(["utf-16", "utf-32", "utf-8-sig"])).map(
        lambda drawn: json.dumps(drawn[0], ensure_ascii=False).encode(drawn[1])
    )
    return whole | cut | changed | recoded | st.binary(max_size=60)


def _values() -> st.SearchStrategy[Any]:
    plain = st.none() | st.booleans() | st.integers() | st.floats() | texts()
    return st.recursive(plain, lambda inner: st.lists(inner) | st.dictionaries(texts(), inner), max_leaves=6)


def _encode(document: Any) -> bytes:
    return json.dumps(document).encode()


def _overwrite(drawn: tuple[bytes, int, bytes]) -> bytes:
    document, at, instead = drawn
    return document[:at] + instead + document[at + len(instead) :]
