import asyncio
import json
from datetime import timedelta

import pytest

from service.errors import FailedPrecondition, Transient
from service.openapi.document import check_document

MOST = 5 << 20


def filled(head: str, body: str, tail: str = "") -> bytes:
    """Repeat a text between two others, up to the most that is fetched."""
    return (head + body * ((MOST - len(head) - len(tail)) // len(body)) + tail).encode()


DEEP_YAML = "\n".join(" " * level + "a:" for level in range(190)) + " 1"
# An escaped pair of surrogates is JSON, and none of libyaml's YAML.
DOCUMENTS = {
    "json": b'{"openapi": "3.1.0", "info": {"title": "Shop", "version": "1"}, "paths": {}}',
    "json, escaped": b'{"title": "\\ud83d\\ude00 \\/ \\u0000"}',
    "json, indented with tabs": b'{\n\t"a": [\n\t\t1\n\t]\n}\n',
    "json, empty": b" \r\n\t{}\n",
    "json, byte order mark": b'\xef\xbb\xbf{"a": "\\ud83d\\ude00"}',
    "json, key of 2,000 characters": json.dumps({"x" * 2000: 1, "\U0001f600" * 2: "\ud83d"}).encode(),
    "json, twice the same key": b'{"a": 1, "a": 2}',
    "json, NaN": b'{"a": NaN, "b": -Infinity}',
    "json, long integer": b'{"b": "\\ud83d\\ude00", "a": ' + b"1" * 10_000 + b"}",
    "json, long float": b'{"a": 1e' + b"9" * 10_000 + b"}",
    "json, 5 MiB of text": filled('{"a": "', "x, ", '"}'),
    "yaml": b"openapi: 3.1.0\ninfo:\n  title: Shop\n  version: '1'\npaths: {}\n",
    "yaml, begun": b"%YAML 1.2\n---\n# Shop\nopenapi: 3.1.0\n...\n",
    "yaml, byte order mark": b"\xef\xbb\xbfopenapi: 3.1.0\n",
    "yaml, flow": b"{openapi: 3.1.0, info: {title: Shop},}",
    "yaml, no ASCII": "title: Stra\u00dfe \U0001f600\n".encode(),
    "yaml, anchors": b"a: &a {x: 1}\nb:\n  <<: *a\nc: [*a, *a]\n",
    "yaml, of itself": b"&a\nb: *a\n",
    "yaml, tags": b"%TAG !e! tag:example.com,2000:\n---\n!e!x\na: !!python/object/apply:os.abort []\n",
    "yaml, long integer": b"a: " + b"1" * 10_000,
    "yaml, what JSON cuts off": b'{"a": 1} # the end\n',
    "yaml, deep": DEEP_YAML.encode(),
    "yaml, laughs": b"a: &a [x]\n" + b"".join(b"b: &a [%s]\n" % b",".join([b"*a"] * 10) for _ in range(100)),
}
NOT_DOCUMENTS = {
    "nothing": (b"", "no mapping at its root"),
    "white space": (b" \n\n", "no mapping at its root"),
    "byte order mark": (b"\xef\xbb\xbf", "no mapping at its root"),
    "comment": (b"# nothing\n", "no mapping at its root"),
    "text": (b"Welcome to the shop", "no mapping at its root"),
    "html": (b"<!doctype html><html><body>Log in</body></html>", "no mapping at its root"),
    "json array": (b'[{"openapi": "3.1.0"}]', "no mapping at its root"),
    "json string": (b'"openapi"', "no mapping at its root"),
    "json null": (b"null", "no mapping at its root"),
    "yaml sequence": (b"- a: 1\n", "no mapping at its root"),
    "alias at the root": (b"*a", "no mapping at its root"),
    "half": (b'{"openapi": "3.1.0", "info": {"ti', "neither JSON nor YAML"),
    "two": (b'{"a": 1}{"b": 2}', "neither JSON nor YAML"),
    "bad yaml": (b"a: 1\n b: 2\n", "neither JSON nor YAML"),
    "tab": (b"a:\n\tb: 1\n", "neither JSON nor YAML"),
    "control characters": (b"a: \x01\n", "neither JSON nor YAML"),
    "zeros": (b"\x00\x00\x00", "neither JSON nor YAML"),
    "unknown tag": (b"a: !e!x 1\n", "neither JSON nor YAML"),
    "yaml 3": (b"%YAML 3.0\n---\na: 1\n", "neither JSON nor YAML"),
    "several documents": (b"a: 1\n---\nb: 2\n", "several documents"),
    "alias of nothing": (b"a: *b\n", "without an anchor"),
    "alias before its anchor": (b"a: *b\nb: &b 1\n", "without an anchor"),
    "latin 1": ("title: Stra\u00dfe\n".encode("latin-1"), "not UTF-8"),
    "utf-16": ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
    "surrogates": (b'{"a": "\xed\xa0\x80"}', "not UTF-8"),
    "gzip": (b"\x1f\x8b\x08\x00", "not UTF-8"),
    "deep json": (filled('{"a": ', "["), "levels"),
    "deep json objects": (filled("", '{"a":'), "levels"),
    "deep json, whole": (b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}", "levels"),
    "deep yaml": (filled("a: ", "["), "levels"),
    "deep yaml mappings": (filled("", "{a: "), "levels"),
    "deep yaml blocks": (filled("a:\n  ", "- "), "levels"),
    "dense json": (filled('{"a": [', "[],", "1]}"), "2,000,000 parts"),
    # libyaml compares each with all before it: without the bound this one takes minutes.
    "directives": ("".join(f"%TAG !{n}! x\n" for n in range(300_000)).encode() + b"---\na: 1\n", "directives"),
}


@pytest.mark.parametrize("content", DOCUMENTS.values(), ids=DOCUMENTS)
async def test_json_and_yaml_are_documents(content: bytes) -> None:
    await check_document(content)


@pytest.mark.parametrize(("content", "fault"), NOT_DOCUMENTS.values(), ids=NOT_DOCUMENTS)
async def test_anything_else_is_refused_and_not_repeated(content: bytes, fault: str) -> None:
    with pytest.raises(FailedPrecondition, match=fault) as caught:
        await check_document(content)

    error = caught.value
    assert error.reason == "OPENAPI_INVALID"
    assert error.__suppress_context__ or error.__context__ is None
    assert len(error.message) < 200


async def test_a_reading_that_takes_too_long_is_tried_again_another_time() -> None:
    with pytest.raises(Transient) as caught:
        await check_document(filled("a: [", "b,", "c]"), within=timedelta(milliseconds=1))

    assert caught.value.reason == "OPENAPI_UNAVAILABLE"


async def test_others_go_on_meanwhile() -> None:
    reading = asyncio.create_task(check_document(b"a:\n" + b"- b: some text\n  c: 1\n" * 50_000))
    turns = 0
    while not reading.done():
        await asyncio.sleep(0.001)
        turns += 1

    await reading
    assert turns > 10
